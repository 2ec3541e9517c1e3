"""Synthetic data with planted evidence."""
