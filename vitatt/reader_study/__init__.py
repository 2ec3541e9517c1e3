"""Reader studies: physicians read cases without AI, with it, and with its reasons."""
