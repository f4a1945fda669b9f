"""The auxiliary objective: rebuild hidden patches (SSAT, Das et al., 2023; L-SSAT, arXiv 2409.19582)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from auxface.encoders import Mask, MaskableEncoder, random_mask
from auxface.objectives.batch import Batch
from auxface.objectives.decoder import Decoder
from auxface.objectives.targets import (
    activate,
    normalise_patches,
    target_loss,
    target_maps,
    target_patches,
    values_per_patch,
)
from auxface.recipe import Auxiliary, Target


@dataclass(frozen=True)
class Rebuilt:
    """One target of a batch, wanted and predicted.

    Attributes:
        target: what was rebuilt.
        wanted: float32 [B, N, values] in the target's own scale.
        predicted: the same shape, for every patch, the visible ones included.
        mask: which patches were hidden.
    """

    target: Target
    wanted: Tensor
    predicted: Tensor
    mask: Mask


class Reconstruction(nn.Module):
    """Hide patches of the primary view, encode the rest, predict targets taken from the clean view.

    The loss covers hidden patches alone. Several targets share one decoder trunk and are averaged by their weights.

    Args:
        options: the recipe's auxiliary section.
        encoder: the encoder that will be shared; only its sizes are read.

    Raises:
        InputError: an unknown descriptor, parameter or encoding.
    """

    def __init__(self, options: Auxiliary, encoder: MaskableEncoder) -> None:
        super().__init__()
        self.options = options
        self.patches = encoder.grid[0] * encoder.grid[1]
        self.outputs = {t.name: values_per_patch(t, encoder.patch_size) for t in options.target}
        self.decoder = Decoder(
            encoder.width,
            encoder.grid,
            self.outputs,
            options.decoder_width,
            options.decoder_depth,
            options.decoder_heads,
        )

    def forward(self, encoder: MaskableEncoder, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted mean of the targets' losses, and each target's own."""
        mask = random_mask(batch.seeds, self.patches, self.options.mask_ratio)
        features = encoder.encode(batch.embedded(encoder), mask)
        predictions = self.decoder(features, mask, mask.hidden)
        losses: dict[str, Tensor] = {}
        for target in self.options.target:
            with torch.no_grad():
                wanted = _pick(self._wanted(encoder, batch.clean, target), mask.hidden)
            losses[target.name] = target_loss(predictions[target.name], wanted, target.encoding, target_maps(target))
        weights = {target.name: target.weight for target in self.options.target}
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum() / sum(weights.values())
        return total, {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def rebuild(self, encoder: MaskableEncoder, batch: Batch, mask: Mask | None = None) -> list[Rebuilt]:
        """Every target of a batch beside what the decoder makes of it, for looking at; hidden by seeds, or by a mask."""
        mask = mask or random_mask(batch.seeds, self.patches, self.options.mask_ratio)
        features = encoder.encode(batch.embedded(encoder), mask)
        everywhere = torch.arange(self.patches, device=batch.seeds.device).expand(len(batch.seeds), -1)
        predictions = self.decoder(features, mask, everywhere)
        return [
            Rebuilt(
                target=target,
                wanted=self._wanted(encoder, batch.clean, target),
                predicted=activate(predictions[target.name], target.encoding, target_maps(target)),
                mask=mask,
            )
            for target in self.options.target
        ]

    def _wanted(self, encoder: MaskableEncoder, clean: Tensor, target: Target) -> Tensor:
        wanted = target_patches(clean, target, encoder.patch_size, encoder.mean, encoder.std)
        return normalise_patches(wanted) if self.options.normalise_target and target.encoding == "scalar" else wanted


def _key(target: Target) -> str:
    return target.name


def _pick(patches: Tensor, places: Tensor) -> Tensor:
    return patches.gather(1, places.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))
