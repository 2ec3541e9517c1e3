"""Metrics of predictions with intervals, calibration, comparisons of arms, subgroups."""
