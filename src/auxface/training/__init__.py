"""Optimization: data feed, loop, schedule, checkpoints, selection on the validation split."""
