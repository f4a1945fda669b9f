"""Contrastive auxiliaries."""
