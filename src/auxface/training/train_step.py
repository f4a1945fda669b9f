"""A step's images split over processes and over parts of accumulated gradients, so that the sum stays the same.

Losses are means: over images, or over known labels. A part's own mean would weigh an image by how small its part is,
so every part divides by what the whole step holds instead. The sum is not the same where the network has batch
normalization, whose statistics are those of each part.

One optimizer step, in as many parts as the recipe accumulates, on as many processes as there are.
"""

from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from auxface.model import JointModel
from auxface.objectives import Moment, Task
from auxface.objectives.classification import row_losses
from auxface.training.data_loader import Feed
from auxface.training.distributed import gradient_sync
from auxface.training.fsdp import full_tensor
from auxface.training.schedule import learning_rate, set_learning_rate


@dataclass(frozen=True)
class Part:
    """What one process does at once.

    Attributes:
        indices: int64 [b], numbers of the images; never empty.
        share: images of the part that count, times parts, over images of the step; 1 where all parts are alike.
    """

    indices: Tensor
    share: float


def deal(indices: Tensor, *, ranks: int, rank: int, accumulate: int) -> list[Part]:
    """The parts of one process, ``accumulate`` of them, each with every ``ranks * accumulate``-th image.

    Where a last small step has fewer images than parts, a part holds one that counts for nothing, for every process
    has to take part in every step.
    """
    parts = ranks * accumulate
    own: list[Part] = []
    for turn in range(accumulate):
        some = indices[rank * accumulate + turn :: parts]
        own.append(Part(some if len(some) else indices[:1], len(some) * parts / len(indices)))
    return own


def label_counts(
    tasks: tuple[Task, ...], labels: dict[str, Tensor], parts: int, weights: Tensor | None = None
) -> dict[str, float]:
    """Per task, what each of ``parts`` parts of a step divides its sum of losses by.

    Args:
        tasks: the tasks.
        labels: of all images of the step, per task.
        parts: of the step, over all processes.
        weights: float [n], how much each of these images counts; None: all alike.
    """
    counts: dict[str, float] = {}
    for task in tasks:
        wanted = labels[task.name]
        counted = row_losses(task, torch.zeros(len(wanted), task.outputs), wanted)[1]
        if weights is not None:
            counted = counted * weights.view(-1, *[1] * (counted.ndim - 1))
        counts[task.name] = float(counted.sum()) / parts
    return counts


_NEVER = 2**62


@dataclass
class Stepper:
    """What a step needs; it keeps no state but the first step whose loss was not finite.

    Attributes:
        model: the model itself.
        wrapped: the same, as it runs on several processes.
        optimizer: as the accelerator prepared it.
        accelerator: of the run.
        feed: the training images.
        steps: of the whole run.
        failed: int64 scalar on the device, the first step (from 0) with a loss that is not finite.
    """

    model: JointModel
    wrapped: nn.Module
    optimizer: torch.optim.Optimizer
    accelerator: Accelerator
    feed: Feed
    steps: int
    failed: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.failed = torch.tensor(_NEVER, device=self.accelerator.device)

    def take(self, indices: Tensor, epoch: int, step: int) -> dict[str, Tensor]:
        """Learn from the images with these numbers.

        Returns:
            The step's loss and every objective's, means over this process's parts, on the device.
        """
        options, accelerator = self.model.recipe.train, self.accelerator
        rank, ranks = accelerator.process_index, accelerator.num_processes
        # Dropout and stochastic depth draw from torch's global state; tied to the step, a resumed run repeats them.
        torch.manual_seed(((self.model.recipe.seed * 1_000_003 + step) * 1_009 + rank) % 2**63)
        set_learning_rate(self.optimizer, learning_rate(step, self.steps, options))
        parts = deal(indices, ranks=ranks, rank=rank, accumulate=options.accumulate)
        moment = Moment(step, self.steps)
        logs: dict[str, Tensor] = {}
        for number, part in enumerate(parts, start=1):
            with gradient_sync(accelerator, self.wrapped, enabled=number == len(parts)):
                loss, each = self._lose(part, indices, epoch, moment)
                accelerator.backward(loss / len(parts))
            for name, value in (each | {"loss": loss.detach()}).items():
                logs[name] = logs.get(name, 0) + value.float() / len(parts)
        if options.clip_norm is not None:
            norm = torch.as_tensor(accelerator.clip_grad_norm_(self.model.parameters(), options.clip_norm))
            logs["gradient_norm"] = full_tensor(norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.model.after_step(moment)
        if self.feed.shares is not None:
            seen = self.feed.shares.seen.float().to(accelerator.device)
            self.feed.shares.move(torch.as_tensor(accelerator.reduce(seen, reduction="sum")))
        finite = logs["loss"].isfinite()
        self.failed = torch.where(finite, self.failed, self.failed.clamp(max=step))
        return logs

    def first_failure(self) -> int | None:
        """The first step, from 0, whose loss was not finite on any process; None while all were."""
        failed = self.accelerator.gather(self.failed.reshape(1))
        assert isinstance(failed, Tensor)
        first = int(failed.min())
        return None if first == _NEVER else first

    def _lose(self, part: Part, indices: Tensor, epoch: int, moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        accelerator = self.accelerator
        batch = self.feed.batch(part.indices, epoch, accelerator.device)
        if self.feed.shares is not None:
            batch.weights = self.feed.shares.weights(part.indices, indices).to(accelerator.device)
        parts = accelerator.num_processes * self.model.recipe.train.accumulate
        if parts > 1:
            labels = {name: values[indices] for name, values in self.feed.labels.items()}
            weights = self.feed.weights_of(indices, indices)
            batch.share, batch.counts = part.share, label_counts(self.model.tasks, labels, parts, weights)
            if not part.share:
                batch.weights = torch.zeros(len(part.indices), device=accelerator.device)
        with accelerator.autocast():
            found = self.wrapped(batch, moment)
        if self.feed.shares is not None and part.share and batch.row_losses is not None:
            self.feed.shares.add(part.indices, batch.row_losses.cpu())
        return found
