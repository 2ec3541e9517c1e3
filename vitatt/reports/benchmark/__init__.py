"""The report of a benchmark or a test run."""
