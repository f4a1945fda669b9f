"""Read, sample and write video files, and apply image functions to clips."""
