"""The masked autoencoder: reconstruct masked patches (SSAT, Das et al., 2023; L-SSAT, arXiv 2409.19582).

Patches of the primary view, or of its texture map, are masked; the encoder gets the rest; a light decoder predicts
targets of the masked patches. Targets come from the clean view.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from auxface.encoders import Mask, MaskableEncoder
from auxface.encoders.masking import make_mask
from auxface.encoders.video_encoder import VideoEncoder
from auxface.errors import InputError
from auxface.objectives.base import Batch, BuildContext, Objective, StepContext, TrainingSet
from auxface.objectives.reconstruction.constant_prediction import ConstantPrediction, fit_constant
from auxface.objectives.reconstruction.decoder import Decoder
from auxface.objectives.reconstruction.targets import (
    activate,
    bits_per_code,
    describes_clips,
    join_frames,
    normalize_patches,
    target_loss,
    target_maps,
    target_patches,
    values_per_patch,
)
from auxface.objectives.registry import ObjectiveSpec, register
from auxface.recipe import ReconstructionOptions, Target, TextureInput
from auxface.recipe.auxiliaries import RECONSTRUCTION

_BATCH, _VALIDATED = 64, 256
_SMALLEST_LOSS = 1e-6


@dataclass(frozen=True)
class Reconstructed:
    """One target of a batch and its prediction.

    Attributes:
        spec: which target.
        target: float32 [B, N, values] in the target's own scale.
        prediction: the same shape and scale, for all patches, masked and visible.
        mask: the masked patches.
    """

    spec: Target
    target: Tensor
    prediction: Tensor
    mask: Mask


class Reconstruction(Objective):
    """The auxiliary that reconstructs masked patches.

    The loss is that of masked patches only. Several targets share one decoder; their losses are averaged by weight.

    Args:
        options: the recipe section.
        encoder: the shared encoder; only its sizes are read.
        texture: the texture map that an ``input`` of ``texture`` uses.

    Raises:
        InputError: an unknown descriptor, parameter or encoding, or a masking that does not fit the encoder.
    """

    def __init__(
        self, options: ReconstructionOptions, encoder: MaskableEncoder, texture: TextureInput | None = None
    ) -> None:
        super().__init__()
        clip = len(encoder.grid) == 3
        _check_input(options, clip)
        self.options = options
        # Within a tuple, so that the encoder is no part of this module.
        self._encoder = (encoder,)
        self._constants: dict[str, ConstantPrediction] = {}
        self._plain_constants: dict[str, ConstantPrediction] = {}
        self.texture = (texture or TextureInput()) if options.input == "texture" else None
        self.patches = math.prod(encoder.grid)
        self.tubelet = encoder.tubelet if isinstance(encoder, VideoEncoder) else 1
        self.outputs = {t.key: self.tubelet * values_per_patch(t, encoder.patch_size) for t in options.target}
        video_target = next((t.name for t in options.target if describes_clips(t)), None)
        if video_target is not None and not clip:
            raise InputError(
                f"auxiliary.target {video_target} describes video clips; for images use local_binary_pattern"
            )
        self.decoder = Decoder(
            encoder.width,
            encoder.grid,
            self.outputs,
            width=options.decoder_width,
            depth=options.decoder_depth,
            heads=options.decoder_heads,
        )

    def forward(self, encoder: MaskableEncoder, batch: Batch, context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the weighted mean of the targets' losses, and each target's loss for the log."""
        mask = self.mask(encoder, batch)
        features = encoder.encode(context.embedding(self.texture), mask)
        if self.options.predict == "masked":
            predictions = self.decoder(features, mask, mask.hidden)
        else:
            everywhere = self.decoder(features, mask, self._all_patches(batch))
            predictions = {name: _patches_at(values, mask.hidden) for name, values in everywhere.items()}
        # The images of a micro-batch are in random order, so that the next one is any other face.
        clean = batch.clean.roll(1, dims=0) if self.options.shuffle else batch.clean
        losses: dict[str, Tensor] = {}
        logs: dict[str, Tensor] = {}
        for spec in self.options.target:
            with torch.no_grad():
                target = self.make_target(encoder, clean, spec, mask.hidden)
            losses[spec.key] = self._loss(predictions[spec.key], target, spec)
            if spec.key in self._constants:
                constant = self._constants[spec.key].expected_loss(mask.hidden)
                logs[f"skill.{spec.key}"] = 1 - losses[spec.key].detach() / constant.clamp(min=_SMALLEST_LOSS)
        weights = {spec.key: spec.weight for spec in self.options.target}
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum() / sum(weights.values())
        return total, {name: loss.detach() for name, loss in losses.items()} | logs

    def before_training(self, training: TrainingSet) -> None:
        """Fit the constant predictions with which skill is measured, to augmented and to plain training images."""
        if training.augmented is not None and training.plain is not None:
            self._constants = self._fit_constants(training.augmented)
            self._plain_constants = self._fit_constants(training.plain)

    @torch.no_grad()
    def validation_logs(self, encoder: MaskableEncoder, images: np.ndarray) -> dict[str, float]:
        """Return the skill of each target on at most 256 of the images, evenly spread: ``skill.TARGET``."""
        if not self._plain_constants or not len(images):
            return {}
        device = encoder.mean.device
        chosen = np.unique(np.linspace(0, len(images) - 1, _VALIDATED).astype(int))
        sums = {spec.key: torch.zeros(2, dtype=torch.float64) for spec in self.options.target}
        for start in range(0, len(chosen), _BATCH):
            rows = chosen[start : start + _BATCH]
            clean = torch.from_numpy(np.array(images[rows])).to(device)
            seeds = torch.from_numpy(rows).to(device)
            batch = Batch(primary=clean.float() / 255, clean=clean, labels={}, seeds=seeds)
            mask = self.mask(encoder, batch)
            features = encoder.encode(StepContext(encoder, batch.primary).embedding(self.texture), mask)
            predictions = self.decoder(features, mask, mask.hidden)
            clean = clean.roll(1, dims=0) if self.options.shuffle else clean
            for spec in self.options.target:
                target = self.make_target(encoder, clean, spec, mask.hidden)
                own = self._loss(predictions[spec.key], target, spec)
                constant = self._plain_constants[spec.key].loss_on(target, mask.hidden)
                sums[spec.key] += len(rows) * torch.stack([own, constant]).double().cpu()
        return {f"skill.{key}": float(1 - own / max(constant, _SMALLEST_LOSS)) for key, (own, constant) in sums.items()}

    @torch.no_grad()
    def reconstruct(self, encoder: MaskableEncoder, batch: Batch, mask: Mask | None = None) -> list[Reconstructed]:
        """Return every target of a batch with its prediction, masked by the batch's seeds or by a given mask."""
        mask = mask or self.mask(encoder, batch)
        features = encoder.encode(StepContext(encoder, batch.primary).embedding(self.texture), mask)
        predictions = self.decoder(features, mask, self._all_patches(batch))
        return [
            Reconstructed(
                spec=spec,
                target=self.make_target(encoder, batch.clean, spec),
                prediction=activate(predictions[spec.key], spec.encoding, self._maps(spec)),
                mask=mask,
            )
            for spec in self.options.target
        ]

    def mask(self, encoder: MaskableEncoder, batch: Batch) -> Mask:
        """Draw the mask of a batch from its seeds."""
        return make_mask(self.options.masking, batch.seeds, encoder.grid, self.options.mask_ratio, lambda: batch.clean)

    def make_target(
        self, encoder: MaskableEncoder, clean: Tensor, spec: Target, places: Tensor | None = None
    ) -> Tensor:
        """Compute a target from the clean view, normalized where the recipe says so.

        Args:
            encoder: the shared encoder.
            clean: uint8 [B, 3, H, W] or [B, T, 3, H, W].
            spec: which target.
            places: int64 [B, M], numbers of the patches; None: all patches.

        Returns:
            float32 [B, M, values], or [B, N, values] for all patches.
        """
        clip = clean.ndim == 5
        sizes = (spec, encoder.patch_size, encoder.mean, encoder.std)
        target = target_patches(clean, *sizes, places=None if clip else places)
        if clip:
            target = join_frames(target, len(clean), self.tubelet)
            target = target if places is None else _patches_at(target, places)
        if not self.options.normalize_target or spec.encoding != "scalar":
            return target
        if clip and spec.name == "rgb":
            # VideoMAE normalizes each color channel by itself.
            return normalize_patches(target.unflatten(-1, (-1, 3)).transpose(-1, -2)).transpose(-1, -2).flatten(-2)
        return normalize_patches(target)

    def _all_patches(self, batch: Batch) -> Tensor:
        return torch.arange(self.patches, device=batch.seeds.device).expand(len(batch.seeds), -1)

    @torch.no_grad()
    def _fit_constants(self, views: Callable[[], Iterator[Tensor]]) -> dict[str, ConstantPrediction]:
        return {
            spec.key: fit_constant(
                (self.make_target(self._encoder[0], clean, spec) for clean in views()),
                spec.encoding,
                maps=self._maps(spec),
                bits=bits_per_code(spec),
            )
            for spec in self.options.target
        }

    def _loss(self, prediction: Tensor, target: Tensor, spec: Target) -> Tensor:
        return target_loss(prediction, target, spec.encoding, maps=self._maps(spec), bits=bits_per_code(spec))

    def _maps(self, spec: Target) -> int:
        return self.tubelet * target_maps(spec)


def _check_input(options: ReconstructionOptions, clip: bool) -> None:
    if options.masking == "tube" and not clip:
        raise InputError("auxiliary.masking tube masks the same patches in every frame; for images use random")
    if clip and options.masking not in ("tube", "random"):
        raise InputError(f"auxiliary.masking {options.masking} is for images; for video clips use tube or random")
    if clip and options.input == "texture":
        raise InputError("auxiliary.input texture is for images; for video clips use rgb")


def _patches_at(patches: Tensor, places: Tensor) -> Tensor:
    return patches.gather(1, places.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))


def _build(options: ReconstructionOptions, context: BuildContext) -> Reconstruction:
    return Reconstruction(options, context.encoder, context.texture)


register(ObjectiveSpec(RECONSTRUCTION, ReconstructionOptions, _build))
