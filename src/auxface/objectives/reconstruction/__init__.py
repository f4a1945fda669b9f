"""Masked reconstruction of RGB or texture."""
