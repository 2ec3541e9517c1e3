"""Multi-modal skin-lesion classification with attention fusion, explained and honestly evaluated."""

__version__ = "0.1.0"
