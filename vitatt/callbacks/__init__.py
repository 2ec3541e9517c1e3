"""Callbacks of trainings and tests: maps, records, reports. The only package that imports W&B."""
