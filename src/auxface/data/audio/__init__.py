"""Audio: decode files with PyAV, and convert excerpts to log-mel images."""
