"""How much of the texture of hidden patches a model rebuilds: the variance explained, on faces that it has not seen."""

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
    """R² of every rebuilt target on the hidden patches of some faces, over the mean of training faces at the place.

    1 - (squared error of the rebuilt values) / (squared error of the mean that training faces have of the same value in
    the same place), both summed over faces, hidden patches and values. 1: rebuilt exactly; 0: no better than knowing
    what faces look like on average; below 0: worse. Of bits and histograms the values are probabilities.

    Args:
        model: with a reconstruction.
        images: uint8 [N, 3, S, S], held-out faces at the model's input size.
        training_images: uint8 [M, 3, S, S], from which the means are taken.
        seed: of what is hidden.

    Raises:
        InputError: the model rebuilds nothing, or there is not one image of each kind.
    """
    if "reconstruction" not in model.auxiliaries:
        raise InputError(f"model '{model.recipe.name}' rebuilds nothing: its recipe has no auxiliary")
    if not len(images) or not len(training_images):
        raise InputError("explained variance needs held-out faces and training faces; one of them is empty")
    sums: dict[str, Tensor] = {}
    for rebuilt in _rebuilt(model, training_images, seed):
        total = rebuilt.target.double().sum(dim=0)
        sums[rebuilt.spec.key] = sums.get(rebuilt.spec.key, 0) + total
    errors = {name: np.zeros(2) for name in sums}
    for rebuilt in _rebuilt(model, images, seed):
        name = rebuilt.spec.key
        errors[name] += squared_errors(rebuilt, sums[name] / len(training_images))
    return {name: float(1 - left / base) if base else float("nan") for name, (left, base) in errors.items()}


def squared_errors(rebuilt: Reconstructed, mean: Tensor) -> tuple[float, float]:
    """Squared errors of what was rebuilt and of a mean [N, values], summed over the hidden patches."""
    hidden = rebuilt.mask.boolean().unsqueeze(-1)
    wanted = rebuilt.target.double()
    left, base = ((guess - wanted).square() * hidden for guess in (rebuilt.prediction.double(), mean))
    return float(left.sum()), float(base.sum())


def _rebuilt(model: JointModel, images: np.ndarray, seed: int) -> Iterator[Reconstructed]:
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
