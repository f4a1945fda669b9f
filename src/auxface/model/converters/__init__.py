"""Weights from elsewhere and to elsewhere: masked autoencoders in transformers' format, encoders to start from."""

from auxface.model.converters.mae import from_transformers, save_mae, to_transformers
from auxface.model.converters.starting import start_encoder
from auxface.model.converters.videomae import from_videomae, save_videomae, to_videomae

__all__ = [
    "from_transformers",
    "from_videomae",
    "save_mae",
    "save_videomae",
    "start_encoder",
    "to_transformers",
    "to_videomae",
]
