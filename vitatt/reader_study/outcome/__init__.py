"""Outcome of a reader study: its verified folder, the course that it took, and its analysis."""
