"""Serve a model: an HTTP API and a web page."""
