"""One optimizer step, split into micro-batches for gradient accumulation and over processes.

Losses are means over images or over known labels. If each micro-batch computed its own mean, the weight of an image
would depend on the size of its micro-batch. Therefore, losses in a micro-batch are divided by counts of the whole step,
so that the micro-batches together give the loss of the whole step. The exception is batch normalization, which uses the
statistics of each micro-batch.
"""

from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from auxface.model import JointModel
from auxface.objectives import Batch, LearnedTask, TrainProgress
from auxface.objectives.classification import sample_losses
from auxface.training.data_loader import DataLoader
from auxface.training.fsdp import full_tensor
from auxface.training.optimizer import learning_rates

_NEVER = 2**62


@dataclass(frozen=True)
class MicroBatch:
    """The images of one forward and backward pass on one process.

    Attributes:
        draws: int64 [b], numbers of the draws as in :func:`~auxface.training.sampling.number_draws`; never empty.
        scale: factor for means over the images: the number of images in the loss, times the number of micro-batches,
            divided by the number of images in the step. The factor is 1 if all micro-batches have the same size.
    """

    draws: Tensor
    scale: float


@dataclass(kw_only=True)
class Stepper:
    """The components of an optimizer step; the only state is the first step whose loss was not finite.

    Attributes:
        model: the model without a wrapper.
        wrapped: the model with the wrapper for several processes.
        optimizer: optimizer, prepared by the accelerator.
        accelerator: accelerator of the run.
        loader: loader of the training split.
        total_steps: number of optimizer steps in the whole run.
        learning_rates: learning rate of each step.
        failed: int64 scalar on the device, the first step (counted from 0) whose loss was not finite.
    """

    model: JointModel
    wrapped: nn.Module
    optimizer: torch.optim.Optimizer
    accelerator: Accelerator
    loader: DataLoader
    total_steps: int
    learning_rates: list[float] = field(init=False)
    failed: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.plan_steps(self.total_steps)
        self.failed = torch.tensor(_NEVER, device=self.accelerator.device)

    def plan_steps(self, total_steps: int) -> None:
        """Set the number of steps of the whole run, on which learning rates and phases depend."""
        recipe, self.total_steps = self.model.recipe, total_steps
        self.learning_rates = learning_rates(total_steps, recipe.train, pretraining=recipe.scheme.pretraining)

    def train_step(self, draws: Tensor, epoch: int, step: int) -> dict[str, Tensor]:
        """Run one optimizer step on the images of the given draws.

        Args:
            draws: int64 [n], draws of the step over all processes.
            epoch: index of the epoch, counted from 0.
            step: index of the step in the whole run, counted from 0.

        Returns:
            The loss of the step and the losses of every objective, as means over the micro-batches of this process, on
            the device.
        """
        options, accelerator = self.model.recipe.train, self.accelerator
        rank, ranks = accelerator.process_index, accelerator.num_processes
        # Dropout and stochastic depth use torch's global random state. It is seeded by the step, so that a resumed run
        # draws the same values.
        torch.manual_seed(((self.model.recipe.seed * 1_000_003 + step) * 1_009 + rank) % 2**63)
        set_learning_rate(self.optimizer, self.learning_rates[step])
        progress = TrainProgress(step, self.total_steps, epoch)
        micro_batches = split_micro_batches(draws, ranks=ranks, rank=rank, accumulate=options.accumulate)
        logs: dict[str, Tensor] = {}
        for number, micro_batch in enumerate(micro_batches, start=1):
            last = number == len(micro_batches)
            # Processes exchange gradients only after the last micro-batch.
            with nullcontext() if last else accelerator.no_sync(self.wrapped):
                loss, each = self._loss(micro_batch, self.loader.positions(draws), progress)
                accelerator.backward(loss / len(micro_batches))
            for name, value in (each | {"loss": loss.detach()}).items():
                logs[name] = logs.get(name, 0) + value.float() / len(micro_batches)
        if options.clip_norm is not None:
            norm = torch.as_tensor(accelerator.clip_grad_norm_(self.model.parameters(), options.clip_norm))
            logs["gradient_norm"] = full_tensor(norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        measured = self.model.after_step(progress, self._mean_over_processes)
        logs |= {name: torch.tensor(value, device=accelerator.device) for name, value in measured.items()}
        if self.loader.group_dro is not None:
            sums = self.loader.group_dro.sums.float().to(accelerator.device)
            self.loader.group_dro.update(torch.as_tensor(accelerator.reduce(sums, reduction="sum")))
        finite = logs["loss"].isfinite()
        self.failed = torch.where(finite, self.failed, self.failed.clamp(max=step))
        return logs

    def _mean_over_processes(self, tensor: Tensor) -> Tensor:
        return torch.as_tensor(self.accelerator.reduce(tensor, reduction="mean"))

    def first_failure(self) -> int | None:
        """Return the first step, counted from 0, whose loss was not finite on any process; None if there is none."""
        failed = self.accelerator.gather(self.failed.reshape(1))
        assert isinstance(failed, Tensor)
        first = int(failed.min())
        return None if first == _NEVER else first

    def _loss(
        self, micro_batch: MicroBatch, indices: Tensor, progress: TrainProgress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        accelerator, group_dro = self.accelerator, self.loader.group_dro
        own = self.loader.positions(micro_batch.draws)
        batch = self.loader.batch(micro_batch.draws, progress.epoch, accelerator.device)
        if group_dro is not None:
            weights = group_dro.weights(own, indices)
            batch = replace(batch, weights=weights.to(accelerator.device))
        micro_batches = accelerator.num_processes * self.model.recipe.train.accumulate
        if micro_batches > 1:
            batch = self._scaled(batch, micro_batch, indices, micro_batches)
        with accelerator.autocast():
            loss, logs, per_sample = self.wrapped(batch, progress)
        if group_dro is not None and micro_batch.scale and per_sample is not None:
            group_dro.add(own, per_sample.cpu())
        return loss, logs

    def _scaled(self, batch: Batch, micro_batch: MicroBatch, indices: Tensor, micro_batches: int) -> Batch:
        labels = {name: values[indices] for name, values in self.loader.labels.items()}
        weights = self.loader.loss_weights_of(indices)
        counts = label_counts(self.model.primary.tasks, labels, micro_batches, weights)
        batch = replace(batch, scale=micro_batch.scale, label_counts=counts)
        if micro_batch.scale:
            return batch
        return replace(batch, weights=torch.zeros(len(micro_batch.draws), device=self.accelerator.device))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group to ``rate`` times the group's ``scale``."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def split_micro_batches(draws: Tensor, *, ranks: int, rank: int, accumulate: int) -> list[MicroBatch]:
    """Split the images of a step and return the ``accumulate`` micro-batches of one process.

    Each of the ``ranks * accumulate`` micro-batches contains every ``ranks * accumulate``-th image. If a step has fewer
    images than micro-batches, a micro-batch without images gets one image with scale 0, because every process must
    participate in every step.
    """
    count = ranks * accumulate
    own: list[MicroBatch] = []
    for number in range(accumulate):
        some = draws[rank * accumulate + number :: count]
        own.append(MicroBatch(some if len(some) else draws[:1], len(some) * count / len(draws)))
    return own


def label_counts(
    tasks: tuple[LearnedTask, ...], labels: dict[str, Tensor], micro_batches: int, weights: Tensor | None = None
) -> dict[str, float]:
    """Return, for each task, the divisor of the sum of losses in each micro-batch of a step.

    Args:
        tasks: tasks of the model.
        labels: labels of all images in the step, by task.
        micro_batches: number of micro-batches in the step, over all processes.
        weights: float [n], weight of each image in the step; None for equal weights.
    """
    counts: dict[str, float] = {}
    for task in tasks:
        known = labels[task.name]
        counted = sample_losses(task, torch.zeros(len(known), task.outputs), known)[1]
        if weights is not None:
            counted = counted * weights.view(-1, *[1] * (counted.ndim - 1))
        counts[task.name] = float(counted.sum()) / micro_batches
    return counts
