"""Video files, frames and clips."""
