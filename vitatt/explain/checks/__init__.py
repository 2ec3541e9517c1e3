"""Checks of explanations."""
