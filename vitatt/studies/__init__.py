"""Studies of trained models: they return tables and figures, and write nothing."""
