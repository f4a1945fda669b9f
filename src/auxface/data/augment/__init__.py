"""Augmentation of image batches with tensor operations, where all randomness depends on the seed of each image."""
