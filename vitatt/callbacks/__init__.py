"""What happens around training: maps, records, reports; the only place that knows W&B."""
