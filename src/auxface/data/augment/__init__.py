"""Augmentation and views, as batched tensor operations."""
