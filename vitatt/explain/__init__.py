"""What a prediction rests on: relevance of image patches and metadata features."""
