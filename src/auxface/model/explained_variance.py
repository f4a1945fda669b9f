"""Explained variance of reconstructed patches on held-out faces."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from auxface.errors import InputError
from auxface.model.joint import JointModel
from auxface.objectives import Batch, Reconstruction
from auxface.objectives.reconstruction.masked_autoencoder import Reconstructed

_BATCH = 64


@torch.inference_mode()
def explained_variance(
    model: JointModel, images: np.ndarray, training_images: np.ndarray, *, seed: int = 0
) -> dict[str, float]:
    """Return R² of every reconstructed target on masked patches, relative to the mean of training faces.

    R² is 1 - (squared error of the reconstruction) / (squared error of the training faces' mean of the same value at
    the same place), both summed over faces, masked patches and values. It is 1 for an exact reconstruction, 0 for one
    as good as the mean face, and negative for a worse one. The values of bits and histograms are probabilities.

    Args:
        model: a model with the masked autoencoder.
        images: uint8 [N, 3, S, S], held-out faces at the model's input size.
        training_images: uint8 [M, 3, S, S], training faces for the means.
        seed: seed of the masks.

    Returns:
        R² by target; NaN where the targets of the held-out faces do not vary.

    Raises:
        InputError: the model has no masked autoencoder, or one of the arrays is empty.
    """
    if "reconstruction" not in model.auxiliaries:
        raise InputError(f"model '{model.recipe.name}' reconstructs nothing: its recipe has no auxiliary")
    if not len(images) or not len(training_images):
        raise InputError("explained variance needs held-out faces and training faces; one of them is empty")
    sums: dict[str, Tensor] = {}
    for result in _reconstructed(model, training_images, seed):
        total = result.target.double().sum(dim=0)
        sums[result.spec.key] = sums.get(result.spec.key, 0) + total
    errors = {name: np.zeros(2) for name in sums}
    for result in _reconstructed(model, images, seed):
        name = result.spec.key
        errors[name] += squared_errors(result, sums[name] / len(training_images))
    return {name: float(1 - left / base) if base else float("nan") for name, (left, base) in errors.items()}


def squared_errors(result: Reconstructed, mean: Tensor) -> tuple[float, float]:
    """Return the squared errors of a reconstruction and of a mean [N, values], summed over masked patches."""
    hidden = result.mask.boolean().unsqueeze(-1)
    target = result.target.double()
    left, base = ((guess - target).square() * hidden for guess in (result.prediction.double(), mean))
    return float(left.sum()), float(base.sum())


def _reconstructed(model: JointModel, images: np.ndarray, seed: int) -> Iterator[Reconstructed]:
    auxiliary = model.auxiliaries["reconstruction"]
    assert isinstance(auxiliary, Reconstruction)
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    for start in range(0, len(images), _BATCH):
        clean = torch.from_numpy(np.array(images[start : start + _BATCH])).to(device)
        seeds = torch.arange(start, start + len(clean), device=device) + seed * 1_000_003
        yield from auxiliary.reconstruct(
            model.encoder, Batch(primary=clean.float() / 255, clean=clean, labels={}, seeds=seeds)
        )
    model.train(was_training)
