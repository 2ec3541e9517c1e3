"""Versions of the software, and the hardware."""
