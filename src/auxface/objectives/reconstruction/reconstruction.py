"""The auxiliary objective: rebuild hidden patches (SSAT, Das et al., 2023; L-SSAT, arXiv 2409.19582)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from auxface.encoders import Mask, MaskableEncoder
from auxface.encoders.masking import make_mask
from auxface.encoders.video_encoder import VideoEncoder
from auxface.errors import InputError
from auxface.objectives.base import AuxiliaryObjective, Batch, Moment, Setting
from auxface.objectives.reconstruction.decoder import Decoder
from auxface.objectives.reconstruction.targets import (
    activate,
    describes_clips,
    join_frames,
    normalize_patches,
    target_loss,
    target_maps,
    target_patches,
    values_per_patch,
)
from auxface.recipe import Auxiliary, Objective, Target, TextureInput


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


class Reconstruction(AuxiliaryObjective):
    """Hide patches of the primary view or its texture map, encode the rest, predict targets taken from the clean view.

    The loss covers hidden patches alone. Several targets share one decoder trunk and are averaged by their weights.

    Args:
        options: the recipe's auxiliary section.
        encoder: the encoder that will be shared; only its sizes are read.
        texture: the map that an ``input`` of ``texture`` sees.

    Raises:
        InputError: an unknown descriptor, parameter or encoding, or a masking that these images do not have.
    """

    def __init__(self, options: Auxiliary, encoder: MaskableEncoder, texture: TextureInput | None = None) -> None:
        super().__init__()
        if options.masking == "tube" and len(encoder.grid) == 2:
            raise InputError("auxiliary.masking tube hides alike in every frame of a clip; for images use random")
        clip = len(encoder.grid) == 3
        if clip and options.masking not in ("tube", "random"):
            raise InputError(f"auxiliary.masking {options.masking} is for images; for clips use tube or random")
        if clip and options.input == "texture":
            raise InputError("auxiliary.input texture is for images; for clips use rgb")
        self.options = options
        self.texture = (texture or TextureInput()) if options.input == "texture" else None
        self.patches = math.prod(encoder.grid)
        self.tubelet = encoder.tubelet if isinstance(encoder, VideoEncoder) else 1
        self.outputs = {t.name: self.tubelet * values_per_patch(t, encoder.patch_size) for t in options.target}
        of_clips = next((t.name for t in options.target if describes_clips(t)), None)
        if of_clips is not None and not clip:
            raise InputError(f"auxiliary.target {of_clips} describes clips; for images use local_binary_pattern")
        self.decoder = Decoder(
            encoder.width,
            encoder.grid,
            self.outputs,
            options.decoder_width,
            options.decoder_depth,
            options.decoder_heads,
        )

    def forward(
        self, encoder: MaskableEncoder, batch: Batch, moment: Moment | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted mean of the targets' losses, and each target's own."""
        mask = self.mask(encoder, batch)
        features = encoder.encode(batch.embedded(encoder, self.texture), mask)
        if self.options.predict == "masked":
            predictions = self.decoder(features, mask, mask.hidden)
        else:
            everything = self.decoder(features, mask, self._everywhere(batch))
            predictions = {name: _pick(values, mask.hidden) for name, values in everything.items()}
        losses: dict[str, Tensor] = {}
        for target in self.options.target:
            with torch.no_grad():
                wanted = self._wanted(encoder, batch.clean, target, mask.hidden)
            losses[target.name] = target_loss(predictions[target.name], wanted, target.encoding, self._maps(target))
        weights = {target.name: target.weight for target in self.options.target}
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum() / sum(weights.values())
        return total, {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def rebuild(self, encoder: MaskableEncoder, batch: Batch, mask: Mask | None = None) -> list[Rebuilt]:
        """Every target of a batch beside what the decoder makes of it, to look at; hidden by seeds, or by a mask."""
        mask = mask or self.mask(encoder, batch)
        features = encoder.encode(batch.embedded(encoder, self.texture), mask)
        predictions = self.decoder(features, mask, self._everywhere(batch))
        return [
            Rebuilt(
                target=target,
                wanted=self._wanted(encoder, batch.clean, target),
                predicted=activate(predictions[target.name], target.encoding, self._maps(target)),
                mask=mask,
            )
            for target in self.options.target
        ]

    def mask(self, encoder: MaskableEncoder, batch: Batch) -> Mask:
        """What is hidden of a batch, by its seeds."""
        return make_mask(self.options.masking, batch.seeds, encoder.grid, self.options.mask_ratio, lambda: batch.clean)

    def _everywhere(self, batch: Batch) -> Tensor:
        return torch.arange(self.patches, device=batch.seeds.device).expand(len(batch.seeds), -1)

    def _wanted(self, encoder: MaskableEncoder, clean: Tensor, target: Target, places: Tensor | None = None) -> Tensor:
        clip = clean.ndim == 5
        sizes = (target, encoder.patch_size, encoder.mean, encoder.std)
        wanted = target_patches(clean, *sizes, places=None if clip else places)
        if clip:
            wanted = join_frames(wanted, len(clean), self.tubelet)
            wanted = wanted if places is None else _pick(wanted, places)
        if not self.options.normalize_target or target.encoding != "scalar":
            return wanted
        if clip and target.name == "rgb":
            # VideoMAE normalizes each color on its own.
            return normalize_patches(wanted.unflatten(-1, (-1, 3)).transpose(-1, -2)).transpose(-1, -2).flatten(-2)
        return normalize_patches(wanted)

    def _maps(self, target: Target) -> int:
        return self.tubelet * target_maps(target)


def _pick(patches: Tensor, places: Tensor) -> Tensor:
    return patches.gather(1, places.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))


def _build(options: Auxiliary, setting: Setting) -> Reconstruction:
    return Reconstruction(options, setting.encoder, setting.texture)


OBJECTIVE = Objective("reconstruction", Auxiliary, _build)
