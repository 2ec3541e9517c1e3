"""Skin lesion classification by attention fusion, explained and honestly evaluated."""

__version__ = "0.1.0"
