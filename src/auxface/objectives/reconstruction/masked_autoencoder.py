"""The masked autoencoder: reconstruct masked patches (SSAT, Das et al., 2023; L-SSAT, arXiv 2409.19582).

Patches of the primary view, or of its texture map, are masked. The encoder receives the visible patches, and a
lightweight decoder predicts targets for the masked patches. Targets are computed from the clean view.

A useful reconstruction is better than the best constant prediction. The constant is the mean target of the training
faces at each position of the grid. **Skill** is 1 - loss / (loss of the constant): 1 for a perfect prediction, 0 for a
prediction that is no better than the constant, and negative for a worse prediction.

Example:
    >>> targets = torch.tensor([[[0.0], [1.0]], [[0.0], [3.0]]])  # two faces, two positions, one value
    >>> constant = fit_constant([targets], "scalar")
    >>> constant.mean.flatten().tolist(), constant.loss.tolist()
    ([0.0, 2.0], [0.0, 1.0])
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from auxface.encoders import Mask, MaskableEncoder
from auxface.encoders.masking import make_mask
from auxface.encoders.video_encoder import VideoEncoder
from auxface.errors import InputError
from auxface.objectives.batch import Batch
from auxface.objectives.objective import BuildContext, Objective, StepContext, TrainingSet
from auxface.objectives.reconstruction.decoder import Decoder, decoder_size
from auxface.objectives.reconstruction.targets import PatchTarget, patches_at, target_loss
from auxface.objectives.registry import ObjectiveSpec, register
from auxface.recipe import ReconstructionOptions, Target, TextureInput
from auxface.recipe.objectives import RECONSTRUCTION

_SMALLEST, _RAREST = 1e-6, 1e-4
_VALIDATION_BATCH, _VALIDATION_IMAGES = 64, 256
_SMALLEST_LOSS = 1e-6


@dataclass(frozen=True)
class ConstantPrediction:
    """The best constant prediction of one target.

    Attributes:
        mean: float32 [N, values], mean target at each grid position; probabilities for bits and histograms.
        loss: float32 [N], expected loss of the constant at each position.
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
        """Return the expected loss on training faces at the grid positions ``places``, int64 [B, M]."""
        return self.loss.to(places.device)[places].mean()

    def start(self) -> Tensor:
        """Return the decoder output that predicts the mean target at each position, float32 [N, values]."""
        if self.encoding == "bits":
            return torch.logit(self.mean, eps=_RAREST)
        return self.mean.clamp(min=_RAREST).log() if self.encoding == "histogram" else self.mean

    def scale(self) -> float:
        """Return the unit of the decoder's deviations: the standard deviation for scalar values, otherwise 1.

        The decoder's layers are initialized and trained for outputs of magnitude 1. Targets on a much smaller scale,
        such as histograms of oriented gradients, would be no larger than the noise of these outputs.
        """
        return max(float(self.loss.mean()), _SMALLEST_LOSS) ** 0.5 if self.encoding == "scalar" else 1.0

    def loss_on(self, target: Tensor, places: Tensor) -> Tensor:
        """Return the loss of the constant on targets, float32 [B, M, values], at grid positions, int64 [B, M]."""
        guess = self.mean.to(target.device)[places]
        if self.encoding == "bits":
            guess = torch.logit(guess, eps=_SMALLEST)
        elif self.encoding == "histogram":
            guess = guess.clamp(min=_SMALLEST).log()
        return target_loss(guess, target, self.encoding, maps=self.maps, bits=self.bits)


def fit_constant(batches: Iterable[Tensor], encoding: str, *, maps: int = 1, bits: int = 1) -> ConstantPrediction:
    """Fit the best constant prediction to targets.

    Args:
        batches: batches of the targets of training faces, float32 [B, N, values] each.
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
        # This is the second moment of scalars, or the negative entropy of histograms.
        extra = extra + (values.square() if encoding == "scalar" else torch.special.xlogy(values, values)).sum(dim=0)
    if not count:
        raise ValueError("there are no training faces for fitting a constant prediction")
    mean, extra = total / count, extra / count
    if encoding == "scalar":
        loss = (extra - mean.square()).clamp(min=0).mean(dim=-1)
    elif encoding == "bits":
        loss = -bits * (torch.special.xlogy(mean, mean) + torch.special.xlogy(1 - mean, 1 - mean)).mean(dim=-1)
    else:
        loss = (extra - torch.special.xlogy(mean, mean)).sum(dim=-1) / maps
    return ConstantPrediction(mean.float(), loss.float(), encoding, maps, bits)


@dataclass(frozen=True)
class Reconstructed:
    """One target of a batch and its prediction.

    Attributes:
        spec: the recipe section of the target.
        target: float32 [B, N, values], the target on its own scale.
        prediction: prediction with the same shape and scale, for masked and visible patches.
        mask: mask that was applied to the images.
    """

    spec: Target
    target: Tensor
    prediction: Tensor
    mask: Mask


class Reconstruction(Objective):
    """The auxiliary that reconstructs masked patches.

    The loss covers only masked patches. Several targets share one decoder; their weighted losses are averaged.

    Args:
        options: the recipe section.
        encoder: the shared encoder; only its sizes are read.
        texture: the texture map that replaces the image if ``input`` is ``texture``.

    Raises:
        InputError: a descriptor, parameter or encoding is unknown, or the encoder does not support the masking
            strategy.
    """

    def __init__(
        self, options: ReconstructionOptions, encoder: MaskableEncoder, texture: TextureInput | None = None
    ) -> None:
        super().__init__()
        clip = len(encoder.grid) == 3
        _check_input(options, clip)
        self.options = options
        # The encoder is stored in a tuple, so that it is not registered as part of this module.
        self._encoder = (encoder,)
        self._constants: dict[str, ConstantPrediction] = {}
        self._plain_constants: dict[str, ConstantPrediction] = {}
        self.texture = (texture or TextureInput()) if options.input == "texture" else None
        self.patches = math.prod(encoder.grid)
        tubelet = encoder.tubelet if isinstance(encoder, VideoEncoder) else 1
        self.targets = tuple(
            PatchTarget(spec, encoder.patch_size, tubelet=tubelet, normalize=options.normalize_target)
            for spec in options.target
        )
        self.outputs = {target.key: target.values for target in self.targets}
        _check_targets(self.targets, clip)
        size = decoder_size(options, encoder)
        fitted = [target.key for target in self.targets if target.spec.name != "rgb"]
        self.decoder = Decoder(encoder.width, encoder.grid, self.outputs, **size._asdict(), fitted=fitted)

    def forward(self, encoder: MaskableEncoder, batch: Batch, context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the weighted mean of the losses of all targets, and the loss of each target for the log."""
        mask = self.mask(encoder, batch)
        features = encoder.encode(context.embedding(self.texture), mask)
        if self.options.predict == "masked":
            predictions = self.decoder(features, mask, mask.hidden)
        else:
            everywhere = self.decoder(features, mask, self._all_patches(batch))
            predictions = {name: patches_at(values, mask.hidden) for name, values in everywhere.items()}
        # The images of a micro-batch are in random order, so the next image is another random face.
        clean = batch.clean.roll(1, dims=0) if self.options.shuffle else batch.clean
        losses: dict[str, Tensor] = {}
        logs: dict[str, Tensor] = {}
        for target in self.targets:
            with torch.no_grad():
                values = target.compute(clean, encoder.mean, encoder.std, mask.hidden)
            losses[target.key] = target.loss(predictions[target.key], values)
            if target.key in self._constants:
                constant = self._constants[target.key].expected_loss(mask.hidden)
                logs[f"skill.{target.key}"] = 1 - losses[target.key].detach() / constant.clamp(min=_SMALLEST_LOSS)
        weights = {target.key: target.spec.weight for target in self.targets}
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum() / sum(weights.values())
        return total, {name: loss.detach() for name, loss in losses.items()} | logs

    def before_training(self, training: TrainingSet) -> None:
        """Fit the constant predictions that define skill, to augmented and to plain training images.

        For texture targets, the decoder's outputs are added to these constants, so that the decoder learns only
        deviations from the constants. Otherwise, the decoder would need hundreds of steps to learn the mean at each
        position, and the gradients of these steps would be far larger than the gradients of anything that the encoder
        can learn. RGB targets keep the published decoder.
        """
        if training.augmented is not None and training.plain is not None:
            self._constants = self._fit_constants(training.augmented)
            self._plain_constants = self._fit_constants(training.plain)
            for key in self.decoder.fitted:
                constant = self._constants[key]
                self.decoder.start_at(key, constant.start(), constant.scale())

    @torch.no_grad()
    def validation_logs(self, encoder: MaskableEncoder, images: np.ndarray) -> dict[str, float]:
        """Return the skill of each target, ``skill.TARGET``, on at most 256 evenly spaced images."""
        if not self._plain_constants or not len(images):
            return {}
        device = encoder.mean.device
        chosen = np.unique(np.linspace(0, len(images) - 1, _VALIDATION_IMAGES).astype(int))
        sums = {target.key: torch.zeros(2, dtype=torch.float64) for target in self.targets}
        for start in range(0, len(chosen), _VALIDATION_BATCH):
            rows = chosen[start : start + _VALIDATION_BATCH]
            clean = torch.from_numpy(np.array(images[rows])).to(device)
            seeds = torch.from_numpy(rows).to(device)
            batch = Batch(primary=clean.float() / 255, clean=clean, labels={}, seeds=seeds)
            mask = self.mask(encoder, batch)
            features = encoder.encode(StepContext(encoder, batch.primary).embedding(self.texture), mask)
            predictions = self.decoder(features, mask, mask.hidden)
            clean = clean.roll(1, dims=0) if self.options.shuffle else clean
            for target in self.targets:
                values = target.compute(clean, encoder.mean, encoder.std, mask.hidden)
                own = target.loss(predictions[target.key], values)
                constant = self._plain_constants[target.key].loss_on(values, mask.hidden)
                sums[target.key] += len(rows) * torch.stack([own, constant]).double().cpu()
        return {f"skill.{key}": float(1 - own / max(constant, _SMALLEST_LOSS)) for key, (own, constant) in sums.items()}

    @torch.no_grad()
    def reconstruct(self, encoder: MaskableEncoder, batch: Batch, mask: Mask | None = None) -> list[Reconstructed]:
        """Return the targets and predictions of a batch; by default, the mask is drawn from the batch's seeds."""
        mask = mask or self.mask(encoder, batch)
        features = encoder.encode(StepContext(encoder, batch.primary).embedding(self.texture), mask)
        predictions = self.decoder(features, mask, self._all_patches(batch))
        return [
            Reconstructed(
                spec=target.spec,
                target=target.compute(batch.clean, encoder.mean, encoder.std),
                prediction=target.activate(predictions[target.key]),
                mask=mask,
            )
            for target in self.targets
        ]

    def mask(self, encoder: MaskableEncoder, batch: Batch) -> Mask:
        """Draw the mask of a batch from its seeds."""
        options = self.options
        return make_mask(
            options.masking,
            batch.seeds,
            encoder.grid,
            options.mask_ratio,
            lambda: batch.clean,
            to_source=batch.to_source,
        )

    def _all_patches(self, batch: Batch) -> Tensor:
        return torch.arange(self.patches, device=batch.seeds.device).expand(len(batch.seeds), -1)

    @torch.no_grad()
    def _fit_constants(self, views: Callable[[], Iterator[Tensor]]) -> dict[str, ConstantPrediction]:
        encoder = self._encoder[0]
        return {
            target.key: fit_constant(
                (target.compute(clean, encoder.mean, encoder.std) for clean in views()),
                target.spec.encoding,
                maps=target.maps,
                bits=target.bits,
            )
            for target in self.targets
        }


def _check_input(options: ReconstructionOptions, clip: bool) -> None:
    if options.masking == "tube" and not clip:
        raise InputError("auxiliary.masking tube masks the same patches in every frame; for images, use random")
    if clip and options.masking not in ("tube", "random", "parts"):
        raise InputError(
            f"auxiliary.masking {options.masking} requires images; for video clips, use tube, random or parts"
        )
    if clip and options.input == "texture":
        raise InputError("auxiliary.input texture requires images; for video clips, use rgb")


def _check_targets(targets: tuple[PatchTarget, ...], clip: bool) -> None:
    video_target = next((target.spec.name for target in targets if target.is_video), None)
    if video_target is not None and not clip:
        raise InputError(f"auxiliary.target {video_target} requires video clips; for images, use local_binary_pattern")


def _build(options: ReconstructionOptions, context: BuildContext) -> Reconstruction:
    return Reconstruction(options, context.encoder, context.texture)


register(ObjectiveSpec(RECONSTRUCTION, ReconstructionOptions, _build))
