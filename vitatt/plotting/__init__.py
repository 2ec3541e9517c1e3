"""Figures of cases, metrics and comparisons, as RGB pixels."""
