"""Augmentation of image batches with tensor operations; all randomness is a function of the seed of each image."""
