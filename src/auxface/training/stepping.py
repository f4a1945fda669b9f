"""One optimiser step, in as many parts as the recipe accumulates, on as many processes as there are."""

from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from auxface.model import JointModel
from auxface.objectives import Moment
from auxface.training.feed import Feed
from auxface.training.machine import unsynchronised
from auxface.training.optimiser import learning_rate, set_rate
from auxface.training.parts import Part, deal, label_counts
from auxface.training.sharding import gathered

_NEVER = 2**62


@dataclass
class Stepper:
    """What a step needs; it keeps no state but the first step whose loss was not finite.

    Attributes:
        model: the model itself.
        wrapped: the same, as it runs on several processes.
        optimiser: as the accelerator prepared it.
        accelerator: of the run.
        feed: the training pictures.
        steps: of the whole run.
        failed: int64 scalar on the device, the first step (from 0) with a loss that is not finite.
    """

    model: JointModel
    wrapped: nn.Module
    optimiser: torch.optim.Optimizer
    accelerator: Accelerator
    feed: Feed
    steps: int
    failed: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.failed = torch.tensor(_NEVER, device=self.accelerator.device)

    def take(self, indices: Tensor, epoch: int, step: int) -> dict[str, Tensor]:
        """Learn from the pictures with these numbers.

        Returns:
            The step's loss and every objective's, means over this process's parts, on the device.
        """
        options, accelerator = self.model.recipe.train, self.accelerator
        rank, ranks = accelerator.process_index, accelerator.num_processes
        # Dropout and stochastic depth draw from torch's global state; tied to the step, a resumed run repeats them.
        torch.manual_seed(((self.model.recipe.seed * 1_000_003 + step) * 1_009 + rank) % 2**63)
        set_rate(self.optimiser, learning_rate(step, self.steps, options))
        parts = deal(indices, ranks=ranks, rank=rank, accumulate=options.accumulate)
        moment = Moment(step, self.steps)
        logs: dict[str, Tensor] = {}
        for number, part in enumerate(parts, start=1):
            with unsynchronised(accelerator, self.wrapped, number == len(parts)):
                loss, each = self._lose(part, indices, epoch, moment)
                accelerator.backward(loss / len(parts))
            for name, value in (each | {"loss": loss.detach()}).items():
                logs[name] = logs.get(name, 0) + value.float() / len(parts)
        if options.clip_norm is not None:
            norm = torch.as_tensor(accelerator.clip_grad_norm_(self.model.parameters(), options.clip_norm))
            logs["gradient_norm"] = gathered(norm)
        self.optimiser.step()
        self.optimiser.zero_grad()
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
