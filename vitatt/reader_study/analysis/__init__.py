"""Statistics of a reader study; knows tables of readings, and nothing of the study's files."""
