"""The other arms of a comparison, one a file."""
