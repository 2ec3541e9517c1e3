"""The report and the model card of a benchmark or a test run."""
