"""The best constant prediction of a target, which is what a reconstruction has to beat.

The constant is the mean target of training faces at each place of the grid. **Skill** is 1 - loss / loss of the
constant: 1 for a perfect prediction, 0 for one that is no better than the constant, below 0 for a worse one.

    >>> targets = torch.tensor([[[0.0], [1.0]], [[0.0], [3.0]]])  # two faces, two places, one value
    >>> constant = fit_constant([targets], "scalar")
    >>> constant.mean.flatten().tolist(), constant.loss.tolist()
    ([0.0, 2.0], [0.0, 1.0])
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from auxface.objectives.reconstruction.targets import target_loss

_SMALLEST = 1e-6


@dataclass(frozen=True)
class ConstantPrediction:
    """The best constant prediction of one target.

    Attributes:
        mean: float32 [N, values], the mean target at each place; probabilities for bits and histograms.
        loss: float32 [N], its expected loss at each place.
        encoding: ``scalar``, ``bits`` or ``histogram``.
        maps: number of histograms in the values of a patch.
        bits: number of bits of a code.
    """

    mean: Tensor
    loss: Tensor
    encoding: str
    maps: int = 1
    bits: int = 1

    def expected_loss(self, places: Tensor) -> Tensor:
        """Return the expected loss at these places, int64 [B, M], on faces like those it was fitted to."""
        return self.loss.to(places.device)[places].mean()

    def loss_on(self, target: Tensor, places: Tensor) -> Tensor:
        """Return the loss of the constant on given targets, float32 [B, M, values], at these places, int64 [B, M]."""
        guess = self.mean.to(target.device)[places]
        if self.encoding == "bits":
            guess = torch.logit(guess, eps=_SMALLEST)
        elif self.encoding == "histogram":
            guess = guess.clamp(min=_SMALLEST).log()
        return target_loss(guess, target, self.encoding, maps=self.maps, bits=self.bits)


def fit_constant(batches: Iterable[Tensor], encoding: str, *, maps: int = 1, bits: int = 1) -> ConstantPrediction:
    """Fit the best constant prediction to targets.

    Args:
        batches: targets of training faces, float32 [B, N, values] each.
        encoding: ``scalar``, ``bits`` or ``histogram``.
        maps: number of histograms in the values of a patch.
        bits: number of bits of a code.

    Raises:
        ValueError: there is no batch.
    """
    count, total, extra = 0, torch.zeros(()), torch.zeros(())
    for targets in batches:
        values = targets.double()
        count += len(values)
        total = total + values.sum(dim=0)
        # Of scalars the second moment, of histograms their negative entropy.
        extra = extra + (values.square() if encoding == "scalar" else torch.special.xlogy(values, values)).sum(dim=0)
    if not count:
        raise ValueError("no training face to fit a constant prediction to")
    mean, extra = total / count, extra / count
    if encoding == "scalar":
        loss = (extra - mean.square()).clamp(min=0).mean(dim=-1)
    elif encoding == "bits":
        loss = -bits * (torch.special.xlogy(mean, mean) + torch.special.xlogy(1 - mean, 1 - mean)).mean(dim=-1)
    else:
        loss = (extra - torch.special.xlogy(mean, mean)).sum(dim=-1) / maps
    return ConstantPrediction(mean.float(), loss.float(), encoding, maps, bits)
