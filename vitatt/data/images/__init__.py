"""Image files: finding, decoding, caching, augmenting."""
