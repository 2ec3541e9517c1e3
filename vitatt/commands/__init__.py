"""Commands, one in each file; those of the Lightning trainer share `training`."""
