"""One batch as the objectives see it."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from auxface.data.mixing import Mixed
from auxface.encoders import MaskableEncoder
from auxface.objectives.texture_picture import texture_picture
from auxface.recipe import TextureInput


@dataclass(frozen=True)
class Moment:
    """Where a training stands: optimiser steps done, of how many in all."""

    step: int = 0
    steps: int = 1

    @property
    def progress(self) -> float:
        """Share of the training that is done, in [0, 1)."""
        return self.step / self.steps


@dataclass
class Batch:
    """Views, labels and seeds of B pictures, or of B clips, which have their frames as a further axis after the first.

    Attributes:
        primary: float [B, 3, H, W] (clips: [B, T, 3, H, W]) in [0, 1], what the classifier sees.
        clean: uint8, likewise, same geometry, no photometric change, no erasing; targets come from it.
        labels: per task; class: int64 [B], -1 unknown; binary, ordinal: float [B], multilabel: float [B, A], NaN
            unknown.
        seeds: int64 [B], one per picture and epoch; masks are drawn from them.
        indices: int64 [B], numbers of the pictures in the training split, for objectives that keep a table of it.
        views: further views by name, float [B, 3, H, W] in [0, 1], as the objectives asked for.
        mixed: the primary view with each picture joined with another, which the classifier sees in its place; or None.
        share: of a step taken in parts: pictures that count, times parts, over pictures of the step. Means over
            pictures are multiplied by it, so that the mean over parts is the mean over the step.
        counts: of a step taken in parts: per task, what the sum of its losses is divided by; else its own counts.
        weights: float [B], how much each picture counts for the primary objective; None: all alike.
        row_losses: float32 [B], left behind by the primary objective: each picture's loss, before any weight.
    """

    primary: Tensor
    clean: Tensor
    labels: dict[str, Tensor]
    seeds: Tensor
    indices: Tensor | None = None
    views: dict[str, Tensor] = field(default_factory=dict)
    mixed: Mixed | None = None
    share: float = 1.0
    counts: dict[str, float] = field(default_factory=dict)
    weights: Tensor | None = None
    row_losses: Tensor | None = None
    _embedded: dict[tuple[int, bool, bool], Tensor] = field(default_factory=dict, repr=False)

    def embedded(self, encoder: MaskableEncoder, texture: TextureInput | None = None) -> Tensor:
        """The patch embedding of the primary view, or of its texture map; computed once however many ask for it."""
        # What was embedded for a look has no gradients, which a training step needs.
        key = (id(encoder), texture is not None, torch.is_grad_enabled())
        if key not in self._embedded:
            seen = self.primary if texture is None else texture_picture(self.primary, texture)
            self._embedded[key] = encoder.embed(seen)
        return self._embedded[key]
