"""Inference with trained models: prediction, evaluation, explanation and export."""
