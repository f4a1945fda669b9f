"""Contrastive auxiliaries, which compare images with each other."""
