"""Decoding of image files and caching of the decoded images."""
