"""Reading, sampling and writing of video files, and image functions applied to clips."""
