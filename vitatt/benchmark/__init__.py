"""Benchmark: every arm on every fold with every seed, and the comparison of their predictions."""
