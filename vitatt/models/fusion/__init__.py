"""Networks that fuse image and metadata."""
