"""What an auxiliary objective is: a module that turns a batch into a loss, and may follow the training's course."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from auxface.data.manifest import Manifest
from auxface.encoders import MaskableEncoder
from auxface.objectives.batch import Batch, Moment
from auxface.objectives.task import Task
from auxface.recipe import TextureInput


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
        features: gives the encoder's pooled features of every picture as it is now, float32 [N, D], on the CPU.
    """

    manifest: Manifest
    features: Callable[[], Tensor]


class AuxiliaryObjective(nn.Module):
    """A loss on the shared encoder beside the primary one; all hooks but ``forward`` may stay as they are.

    Attributes:
        views: names of further views that the batch must carry; see :mod:`auxface.data.further_views`.
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
        """Follow an optimiser step, as a teacher's moving average does."""

    def state(self) -> dict[str, Tensor]:
        """Tensors that a resumed run needs and an exported model does not."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what :meth:`state` gave."""

    def report(self) -> dict[str, float]:
        """Figures about the training set that belong into the model's provenance."""
        return {}
