"""HTML pages of explanations, benchmarks, test runs and robustness; model cards."""
