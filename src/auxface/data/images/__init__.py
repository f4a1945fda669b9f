"""Decode image files and cache the decoded images."""
