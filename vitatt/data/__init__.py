"""From published files to batches."""
