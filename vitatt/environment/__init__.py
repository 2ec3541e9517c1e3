"""What software and hardware are there."""
