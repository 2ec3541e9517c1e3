"""The report of explanations."""
