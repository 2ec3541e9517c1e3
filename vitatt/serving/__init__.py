"""A server of trained models: an API and a page."""
