"""A label that a head learns, and how its logits become probabilities.

A texture map as an image, for encoders that see texture in place of RGB.

One batch as the objectives see it.

What an auxiliary objective is: a module that turns a batch into a loss, and may follow the training's course.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from auxface import texture
from auxface.data.augment.mixup import Mixed
from auxface.data.manifest import Manifest
from auxface.encoders import MaskableEncoder
from auxface.errors import InputError
from auxface.recipe import TextureInput


@dataclass(frozen=True)
class Task:
    """One label that a head learns.

    Attributes:
        name: the label's name in the manifest.
        kind: ``class``, ``binary``, ``multilabel`` or ``ordinal``.
        classes: class or attribute names in order; binary has (negative, positive); ordinal the values as text.
        weight: weight among the tasks.
        values: ordinal alone: the numbers that an answer can be, ascending.
        class_weights: weight of each class in the loss, of (negative, positive) for a binary task, of the absence of
            each attribute and then of the presence of each for several; empty: all alike.
        focal_gamma: exponent of the focal loss; 0: off.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    weight: float = 1.0
    values: tuple[float, ...] = ()
    class_weights: tuple[float, ...] = ()
    focal_gamma: float = 0.0

    @property
    def outputs(self) -> int:
        """Numbers that the head gives: one per class or attribute, one for binary, one per step for ordinal."""
        if self.kind == "ordinal":
            return len(self.values) - 1
        return 1 if self.kind == "binary" else len(self.classes)


def probabilities(task: Task, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Logits [B, outputs] to probabilities at a temperature.

    Returns:
        float32; class: [B, C], softmax; binary [B, 1] and multilabel [B, A]: sigmoid; ordinal: [B, C], the share of
        each value, which is the difference between the probabilities of exceeding its neighbors.
    """
    logits = logits.float() / temperature
    if task.kind == "class":
        return logits.softmax(dim=1)
    if task.kind == "ordinal":
        above = torch.nn.functional.pad(logits.sigmoid(), (1, 0), value=1.0)
        return above - torch.nn.functional.pad(above[:, 1:], (0, 1))
    return logits.sigmoid()


def expected_value(task: Task, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """The number that an ordinal task predicts, float32 [B]: the mean of its values by their probabilities."""
    shares = probabilities(task, logits, temperature)
    return shares @ torch.tensor(task.values, dtype=torch.float32, device=shares.device)


def texture_image(images: Tensor, options: TextureInput) -> Tensor:
    """Images in [0, 1] to their texture map in [0, 1], both float [B, 3, H, W].

    The image is rounded to 0..255 first, since codes need integers. A map's values are the scalar encoding (code over
    the largest code). A descriptor with one map fills all three channels with it, one with three gives a channel each,
    and of any other number the mean fills all three. The encoder standardizes the map as it does an image.
    """
    with torch.no_grad():
        pixels = (images * 255).round().clamp(0, 255).to(torch.uint8)
        codes = texture.describe(texture.gray(pixels), options.name, **options.parameters)
        maps = torch.as_tensor(texture.encode_target(codes, options.name, "scalar", **options.parameters)).float()
        maps = maps if maps.ndim == 4 else maps.unsqueeze(1)
        maps = maps if maps.shape[1] in (1, 3) else maps.mean(dim=1, keepdim=True)
        return maps.expand(-1, 3, -1, -1).contiguous()


def check_texture_input(options: TextureInput) -> None:
    """Refuse what cannot be seen as an image.

    Raises:
        InputError: no such descriptor or parameter, a descriptor of clips, or one without a value for every pixel.
    """
    try:
        descriptor = texture.get(options.name)
        output = descriptor.describe_output(**options.parameters)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"texture_input: {error.args[0] if error.args else error}") from None
    if descriptor.input != "image":
        raise InputError(f"texture_input: {options.name} describes clips; name a descriptor of images")
    if output.cell != 1:
        raise InputError(
            f"texture_input: {options.name} has one value per {output.cell} pixels; name one with a value for each"
        )


@dataclass(frozen=True)
class Moment:
    """Where a training stands: optimizer steps done, of how many in all."""

    step: int = 0
    steps: int = 1

    @property
    def progress(self) -> float:
        """Share of the training that is done, in [0, 1)."""
        return self.step / self.steps


@dataclass
class Batch:
    """Views, labels and seeds of B images, or of B clips, which have their frames as a further axis after the first.

    Attributes:
        primary: float [B, 3, H, W] (clips: [B, T, 3, H, W]) in [0, 1], what the classifier sees.
        clean: uint8, likewise, same geometry, no photometric change, no erasing; targets come from it.
        labels: per task; class: int64 [B], -1 unknown; binary, ordinal: float [B], multilabel: float [B, A], NaN
            unknown.
        seeds: int64 [B], one per image and epoch; masks are drawn from them.
        indices: int64 [B], numbers of the images in the training split, for objectives that keep a table of it.
        views: further views by name, float [B, 3, H, W] in [0, 1], as the objectives asked for.
        mixed: the primary view with each image joined with another, which the classifier sees in its place; or None.
        share: of a step taken in parts: images that count, times parts, over images of the step. Means over
            images are multiplied by it, so that the mean over parts is the mean over the step.
        counts: of a step taken in parts: per task, what the sum of its losses is divided by; else its own counts.
        weights: float [B], how much each image counts for the primary objective; None: all alike.
        row_losses: float32 [B], left behind by the primary objective: each image's loss, before any weight.
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
            seen = self.primary if texture is None else texture_image(self.primary, texture)
            self._embedded[key] = encoder.embed(seen)
        return self._embedded[key]


@dataclass(frozen=True)
class Setting:
    """What an objective is built into.

    Attributes:
        encoder: the shared encoder; only its sizes are read.
        tasks: the primary tasks.
        texture: the map that an ``input: texture`` sees.
    """

    encoder: MaskableEncoder
    tasks: tuple[Task, ...]
    texture: TextureInput


@dataclass(frozen=True)
class TrainingSet:
    """The rows that a training sees, in the order of ``Batch.indices``.

    Attributes:
        manifest: usable rows of the training split.
        features: gives the encoder's pooled features of every image as it is now, float32 [N, D], on the CPU.
    """

    manifest: Manifest
    features: Callable[[], Tensor]


class AuxiliaryObjective(nn.Module):
    """A loss on the shared encoder beside the primary one; all hooks but ``forward`` may stay as they are.

    Attributes:
        views: names of further views that the batch must carry; see :mod:`auxface.data.augment.views`.
    """

    views: tuple[str, ...] = ()

    def forward(self, encoder: MaskableEncoder, batch: Batch, moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss before its weight, and what the log should say, detached scalars by name."""
        raise NotImplementedError

    def before_training(self, training: TrainingSet) -> None:
        """Make tables of the training split, before the first step and again when a run is gone on with."""

    def before_epoch(self, training: TrainingSet, epoch: int) -> None:
        """Renew tables before an epoch, counted from 0."""

    def after_step(self, encoder: MaskableEncoder, moment: Moment) -> None:
        """Follow an optimizer step, as a teacher's moving average does."""

    def state(self) -> dict[str, Tensor]:
        """Tensors that a resumed run needs and an exported model does not."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what :meth:`state` gave."""

    def report(self) -> dict[str, float]:
        """Figures about the training set that belong into the model's provenance."""
        return {}
