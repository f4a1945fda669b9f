"""Decoding of audio files with PyAV, and conversion of excerpts to log-mel images."""
