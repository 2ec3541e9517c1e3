"""Metadata features: encoding, association with the diagnosis, selection, noise."""
