"""Simulated readers of set skill, reliance on the AI and noise."""
