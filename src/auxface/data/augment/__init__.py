"""Augmentation of image batches with tensor operations, in which all randomness depends on the seeds of the images."""
