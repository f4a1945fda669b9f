"""The interface of an objective (inputs and results), and the tasks of a primary objective.

An objective computes a loss on the shared encoder from a batch. The **primary** objective reads the pooled features of
the whole image and makes the model's predictions. Every other objective is an **auxiliary**: it is trained together
with the primary objective and is not used for predictions. ``docs/extending.md`` shows an auxiliary in thirty lines of
code.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auxface.data.augment.views import ViewRequest
from auxface.encoders import Features, MaskableEncoder
from auxface.objectives.batch import Batch, texture_image
from auxface.recipe import TextureInput
from auxface.task import Task

if TYPE_CHECKING:
    from auxface.data.manifest import Manifest


@dataclass(frozen=True)
class LearnedTask(Task):
    """A task of a model: one label, with the options of its loss.

    Attributes:
        name: name of the label in the manifest.
        kind: ``class``, ``binary``, ``multilabel`` or ``ordinal``.
        classes: class or attribute names in order; binary: (negative, positive); ordinal: the values as text.
        weight: weight of the task in the primary loss.
        values: numbers that can be predicted, in ascending order (ordinal tasks only).
        class_weights: weights in the loss. Class: one weight per class; binary: (negative, positive); multilabel: the
            weights of the absence of each attribute, followed by the weights of the presence of each attribute. If
            empty, all weights are equal.
        focal_gamma: exponent of the focal loss; 0 to disable.
        identity: whether the classes are the people in the training split. The people in other splits differ, so the
            model returns embeddings instead of scores for an identity task.
    """

    weight: float = 1.0
    values: tuple[float, ...] = ()
    class_weights: tuple[float, ...] = ()
    focal_gamma: float = 0.0
    identity: bool = False

    @property
    def outputs(self) -> int:
        """Number of logits: one per class or attribute, one for a binary task, or one per ordinal threshold."""
        if self.kind == "ordinal":
            return len(self.values) - 1
        return 1 if self.kind == "binary" else len(self.classes)


def probabilities(task: LearnedTask, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Convert logits [B, outputs] to probabilities.

    Returns:
        Probabilities, float32. Class: the softmax, [B, C]. Binary and multilabel: the sigmoid, [B, 1] and [B, A].
            Ordinal: the probability of each value, [B, C], which is the difference between the probabilities of
            exceeding its two thresholds.
    """
    logits = logits.float() / temperature
    if task.kind == "class":
        return logits.softmax(dim=1)
    if task.kind == "ordinal":
        above = F.pad(logits.sigmoid(), (1, 0), value=1.0)
        return above - F.pad(above[:, 1:], (0, 1))
    return logits.sigmoid()


def expected_value(task: LearnedTask, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the prediction of an ordinal task, float32 [B]: the mean of the values weighted by their probabilities."""
    weights = probabilities(task, logits, temperature)
    return weights @ torch.tensor(task.values, dtype=torch.float32, device=weights.device)


@dataclass(frozen=True)
class TrainProgress:
    """The position of a step within a training run.

    Attributes:
        step: number of optimizer steps completed before this step.
        total_steps: number of optimizer steps in the whole training run.
        epoch: number of epochs completed before this step.
    """

    step: int = 0
    total_steps: int = 1
    epoch: int = 0

    @property
    def fraction(self) -> float:
        """Completed fraction of the training run, in [0, 1)."""
        return self.step / self.total_steps


class StepContext:
    """Data shared by the objectives in one forward pass: the progress, and the patch embedding of the primary view.

    Args:
        encoder: the shared encoder.
        images: the primary view, float [B, 3, H, W] in [0, 1].
        progress: position of the step in the training run; None for the first step.
    """

    def __init__(self, encoder: MaskableEncoder, images: Tensor, progress: TrainProgress | None = None) -> None:
        self.encoder = encoder
        self.images = images
        self.progress = progress or TrainProgress()
        self._embedded: dict[tuple[bool, bool], Tensor] = {}

    def embedding(self, texture_input: TextureInput | None = None) -> Tensor:
        """Return the patch embedding of the primary view, or of its texture map, computed once per forward pass."""
        # An objective that needs gradients cannot use an embedding that was computed without gradients.
        key = (texture_input is not None, torch.is_grad_enabled())
        if key not in self._embedded:
            images = self.images if texture_input is None else texture_image(self.images, texture_input)
            self._embedded[key] = self.encoder.embed(images)
        return self._embedded[key]


@dataclass(frozen=True)
class BuildContext:
    """The encoder and the tasks for which an objective is built.

    Attributes:
        encoder: the shared encoder, from which sizes are read; an objective that needs its own encoder must copy it.
        tasks: the tasks of the primary objective.
        texture: texture map that replaces the image if an ``input`` is ``texture``.
        feature_width: dimension of the pooled features that the primary objective reads.
    """

    encoder: MaskableEncoder
    tasks: tuple[LearnedTask, ...]
    texture: TextureInput
    feature_width: int


@dataclass(frozen=True)
class TrainingSet:
    """Access to the training split, in the order of ``Batch.indices``.

    Attributes:
        manifest: manifest of the usable rows.
        features: callable that returns the encoder's pooled features of every image, computed with the current weights,
            float32 [N, D] on the CPU.
        augmented: callable that yields batches of clean views of some of the images, as in training, uint8 [B, 3, H, W]
            or [B, T, 3, H, W]; None if there are no images.
        plain: callable that yields the same images without augmentation, as in validation; None if there are no images.
    """

    manifest: "Manifest"
    features: Callable[[], Tensor]
    augmented: Callable[[], Iterator[Tensor]] | None = None
    plain: Callable[[], Iterator[Tensor]] | None = None


class Objective(nn.Module):
    """A loss on the shared encoder. Only ``forward`` must be implemented; all other methods do nothing by default.

    Attributes:
        views: requests for the views that the batch must contain; see :mod:`auxface.data.augment.views`.
    """

    views: tuple[ViewRequest, ...] = ()

    def forward(self, encoder: MaskableEncoder, batch: Batch, context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the unweighted loss.

        Returns:
            The loss, and detached scalars for the log by name.
        """
        raise NotImplementedError

    def before_training(self, training: TrainingSet) -> None:
        """Prepare tables of the training split before the first step, and again when a run is resumed."""

    def before_epoch(self, training: TrainingSet, epoch: int) -> None:
        """Update tables before an epoch, counted from 0."""

    def after_step(self, encoder: MaskableEncoder, progress: TrainProgress) -> None:
        """Update state, such as a teacher's moving average, after an optimizer step."""

    def resume_tensors(self) -> dict[str, Tensor]:
        """Return the tensors that are needed to resume, other than weights and :class:`ResumeOnly` modules."""
        return {}

    def load_resume_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore the tensors that :meth:`resume_tensors` returned; not called if there were none."""

    def validation_logs(self, encoder: MaskableEncoder, images: np.ndarray) -> dict[str, float]:
        """Return metrics on held-out images for the log.

        Args:
            encoder: the shared encoder, in evaluation mode.
            images: held-out images, uint8 [N, 3, S, S], or video clips, uint8 [N, T, 3, S, S].
        """
        return {}

    def report(self) -> dict[str, float]:
        """Return statistics of the training set for the log and for the provenance of the model."""
        return {}


class PrimaryLoss(NamedTuple):
    """The result of the primary objective.

    Attributes:
        loss: scalar loss.
        logs: detached scalars for the log by name.
        sample_losses: float32 [B], the detached loss of each image before any weighting.
    """

    loss: Tensor
    logs: dict[str, Tensor]
    sample_losses: Tensor


class PrimaryObjective(Objective):
    """The objective that makes the model's predictions from the pooled features of the whole image.

    Attributes:
        tasks: tasks of the model.
        texture: texture map that replaces the image as input of the encoder; None to use the image.
        view: view of the batch that the encoder receives in training.
    """

    tasks: tuple[LearnedTask, ...]
    texture: TextureInput | None
    view: Literal["augmented", "clean"] = "augmented"

    def forward(self, pooled: Tensor, batch: Batch) -> PrimaryLoss:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute the loss from the pooled features [B, D]."""
        raise NotImplementedError

    def logits(self, pooled: Tensor) -> dict[str, Tensor]:
        """Return the logits of each task, [B, outputs], from the pooled features [B, D]."""
        raise NotImplementedError

    def embed(self, pooled: Tensor) -> Tensor:
        """Return the embeddings of images, [B, E], from the pooled features [B, D]."""
        raise NotImplementedError

    def validation_outputs(self, pooled: Tensor) -> dict[str, Tensor]:
        """Return the outputs of each task for :meth:`validation_figure`, [B, outputs]; by default the logits."""
        return self.logits(pooled)

    @property
    def predicted_tasks(self) -> tuple[LearnedTask, ...]:
        """The tasks for which the model makes predictions: all except identity tasks."""
        return tuple(task for task in self.tasks if not task.identity)

    @property
    def training_only(self) -> tuple[str, ...]:
        """Prefixes of the names of weights that an exported model does not need."""
        return ()

    def validation_figure(
        self, metric: str, logits: Mapping[str, np.ndarray], labels: Mapping[str, Tensor]
    ) -> float | None:
        """Return the validation metric that selects the weights; higher is better.

        Args:
            metric: name of the metric, as in the recipe's ``train.select_on``.
            logits: result of :meth:`validation_outputs`, [N, outputs] for each task.
            labels: labels by task, as in :class:`Batch`.

        Returns:
            The metric; None if it cannot be computed.
        """
        raise NotImplementedError

    def encode(self, batch: Batch, context: StepContext) -> Features:
        """Encode, without a mask, the view on which the primary objective is trained: the mixed view, if any."""
        if batch.mixed is None and self.view == "clean":
            return self.encode_images(context.encoder, batch.clean.float() / 255)
        if batch.mixed is None:
            return context.encoder.encode(context.embedding(self.texture))
        return self.encode_images(context.encoder, batch.mixed.primary)

    def encode_images(self, encoder: MaskableEncoder, images: Tensor) -> Features:
        """Encode whole images, float [B, 3, H, W] in [0, 1]."""
        return encoder(images if self.texture is None else texture_image(images, self.texture))
