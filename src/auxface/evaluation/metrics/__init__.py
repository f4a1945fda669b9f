"""Metrics, one record each."""
