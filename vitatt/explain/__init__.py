"""Relevance of image patches and metadata features to a prediction."""
