"""Which patches are hidden, as indexes, so that nothing has to ask the device for a count."""

from dataclasses import dataclass

import torch
from torch import Tensor

from auxface.data.random import uniforms

_STREAM = 101


@dataclass(frozen=True)
class Mask:
    """Hidden and visible patches of each picture; every picture hides the same number.

    Attributes:
        visible: int64 [B, V], patch numbers in ascending order, row-major over the grid.
        hidden: int64 [B, M], likewise; V + M = N.
    """

    visible: Tensor
    hidden: Tensor

    def boolean(self) -> Tensor:
        """The mask as bool [B, N], true where hidden."""
        count = self.visible.shape[1] + self.hidden.shape[1]
        empty = torch.zeros(len(self.hidden), count, dtype=torch.bool, device=self.hidden.device)
        return empty.scatter(1, self.hidden, True)


def hidden_count(patches: int, mask_ratio: float) -> int:
    """round(mask_ratio * patches), kept between 1 and patches - 1."""
    return min(max(round(mask_ratio * patches), 1), patches - 1)


def random_mask(seeds: Tensor, patches: int, mask_ratio: float) -> Mask:
    """Hide patches uniformly at random (He et al., 2022), each picture by its own seed.

    Args:
        seeds: int64 [B]; a picture's mask depends on its seed alone, not on its neighbours in the batch.
        patches: N, the patches of one picture.
        mask_ratio: share hidden, in (0, 1).
    """
    order = uniforms(seeds, patches, stream=_STREAM).argsort(dim=1)
    hidden = hidden_count(patches, mask_ratio)
    return Mask(visible=order[:, hidden:].sort(dim=1).values, hidden=order[:, :hidden].sort(dim=1).values)
