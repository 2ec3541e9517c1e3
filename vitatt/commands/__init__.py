"""One file a command (those of the Lightning trainer share one)."""
