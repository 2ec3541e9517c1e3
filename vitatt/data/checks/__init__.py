"""Checks of a dataset: contents, leaks."""
