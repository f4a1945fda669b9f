"""Training: from a recipe and a manifest to a model directory.

Start at ``train.py`` (the command), ``loop.py`` (epochs) and ``train_step.py`` (one optimizer step).
"""
