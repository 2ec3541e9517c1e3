"""Figures of cases, metrics and comparisons."""
