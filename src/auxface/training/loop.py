"""The joint training loop, plainly: a step, a look at the validation split now and then, the best weights kept."""

import time
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from auxface.model import JointModel
from auxface.model.balance import primary_is_taught
from auxface.model.scoring import pooled_features
from auxface.objectives import Moment, TrainingSet
from auxface.progress import Advance
from auxface.training.checkpoint import (
    RunState,
    load_checkpoint,
    newest_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from auxface.training.data_loader import Feed
from auxface.training.distributed import (
    agreed_mean,
    is_shared_out,
    load_whole,
    make_accelerator,
    prepare,
    share_out,
    whole,
    whole_model,
    whole_weights,
)
from auxface.training.errors import explained, non_finite_loss
from auxface.training.logging import Logs, Recent, Sums, live_line
from auxface.training.optimizer import WeightAverage, make_optimizer
from auxface.training.selection import Validation, validate
from auxface.training.train_step import Stepper
from auxface.training.wrapping import set_up_blocks

_TELL_EVERY = 20


@dataclass(frozen=True)
class Trained:
    """What a run ends with: the best weights (in the model), their epoch and figure, and the time it took."""

    model: JointModel
    best_epoch: int
    best_value: float | None
    seconds: float


def run_training(
    model: JointModel,
    feed: Feed,
    validation: Validation,
    *,
    folder: Path,
    device: str = "auto",
    training: TrainingSet | None = None,
    accelerator: Accelerator | None = None,
    advance: Advance | None = None,
) -> Trained:
    """Train to the end of the recipe and leave the best weights in the model.

    A checkpoint in ``folder/checkpoint`` is gone on from. Every random choice is drawn from (seed, epoch, image) or
    (seed, step), so a resumed run takes the steps that an unbroken one would have taken.

    Args:
        model: with its first weights.
        feed: the training split.
        validation: the validation split.
        folder: for checkpoints and logs; one process alone writes there.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``; not read where an accelerator is given.
        training: what objectives may ask about the training split, where they do.
        accelerator: see :func:`auxface.training.distributed.make_accelerator`.
        advance: told of steps done and what to say of them.

    Raises:
        NonFiniteLoss: the loss was NaN or infinite.
        InputError: the checkpoint in the folder is of another model, or memory or disk ran out.
    """
    accelerator = accelerator or make_accelerator(model.recipe, device)
    with explained(folder, feed.batch_size, model.recipe.train.accumulate):
        return _Run(model, feed, validation, folder, accelerator, training, advance).run()


class _Run:
    """A run under way."""

    def __init__(
        self,
        model: JointModel,
        feed: Feed,
        validation: Validation,
        folder: Path,
        accelerator: Accelerator,
        training: TrainingSet | None,
        advance: Advance | None,
    ) -> None:
        self.model, self.feed, self.validation, self.folder = model, feed, validation, folder
        self.accelerator, self.training = accelerator, training
        self.advance = advance if accelerator.is_main_process else None
        self.options = model.recipe.train
        self.twin = deepcopy(model) if is_shared_out(accelerator) else None
        model.to(accelerator.device)
        self.average = WeightAverage(model, self.options.ema) if self.options.ema is not None else None
        self.kept = model if self.average is None else self.average.model
        self.best = _copy(self.kept)
        self.state = RunState()
        set_up_blocks(model, self.options, accelerator.device, accelerator.mixed_precision)
        if self.twin is not None:
            share_out(model, accelerator)
            if self.average is not None:
                share_out(self.average.model, accelerator)
            self.training = None if training is None else replace(training, features=self._features)
        optimizer = make_optimizer(model, self.options)
        self.plain_optimizer = optimizer
        if newest_checkpoint(self._checkpoints) is not None:
            self.state, _ = load_checkpoint(self._checkpoints, self._restore)
        wrapped, prepared = prepare(accelerator, model, optimizer)
        if self.state.scaler and accelerator.scaler is not None:
            accelerator.scaler.load_state_dict(self.state.scaler)
        self.steps = self.options.epochs * feed.steps_per_epoch
        self.stepper = Stepper(model, wrapped, prepared, accelerator, feed, self.steps)
        device = accelerator.device
        totals = {name: torch.tensor(value, device=device) for name, value in self.state.sums.items()}
        self.sums = Sums(totals, dict(self.state.summed))

    def run(self) -> Trained:
        started = time.perf_counter()
        silent = not self.accelerator.is_main_process
        with Logs(self.folder, self.state.step, tensorboard=self.options.tensorboard, silent=silent) as logs:
            if self.advance is not None:
                self.advance(self.state.step, "")
            while self.state.epoch < self.options.epochs and not self._patience_is_spent():
                self._epoch(logs)
        self.accelerator.wait_for_everyone()
        self.stepper.optimizer.zero_grad()
        model = self.model
        if self.twin is not None:
            model = self.twin.to(self.accelerator.device)
            model.load_objective_state(self.model.objective_state())
        model.load_state_dict(self.best)
        seconds = time.perf_counter() - started
        return Trained(model.eval(), self.state.best_epoch, self.state.best_value, seconds)

    def _epoch(self, logs: Logs) -> None:
        epoch, length = self.state.epoch, self.feed.steps_per_epoch
        begun = time.perf_counter()
        # Tables made before the epoch come back with the checkpoint when a run goes on in the middle of one.
        if self.training is not None and not self.state.step_in_epoch:
            self.model.before_epoch(self.training, epoch)
        self.model.train()
        recent = Recent()
        for number, indices in enumerate(self.feed.indices(epoch)):
            if number < self.state.step_in_epoch:
                continue
            each = self.stepper.take(indices, epoch, self.state.step)
            if self.average is not None:
                self.average.update(self.model, self.state.step)
            self.state = replace(self.state, step=self.state.step + 1, step_in_epoch=number + 1)
            recent.add(each, len(indices))
            self.sums.add(each)
            last = number + 1 == length
            if (number + 1) % _TELL_EVERY == 0 or last:
                self._tell(recent, logs)
            if self.state.step % self.options.checkpoint_every == 0 and not last:
                self._save()
        entry = self.sums.means(self.accelerator) | self.model.report()
        self.state = replace(self.state, epoch=epoch + 1, step_in_epoch=0, sums={}, summed={})
        self.sums = Sums()
        if self._is_time_to_look(epoch):
            entry |= self._look()
        rate = self.plain_optimizer.param_groups[0]["lr"] / self.plain_optimizer.param_groups[0]["scale"]
        seconds = round(time.perf_counter() - begun, 3)
        logs.epoch(self.state.epoch, self.state.step, learning_rate=rate, seconds=seconds, **entry)
        self._save()

    def _is_time_to_look(self, epoch: int) -> bool:
        """Whether to validate after an epoch, counted from 0: never while the heads have their first weights."""
        if epoch + 1 == self.options.epochs:
            return True
        first = epoch * self.feed.steps_per_epoch
        steps = range(first, first + self.feed.steps_per_epoch)
        taught = any(primary_is_taught(self.model.recipe, Moment(step, self.steps)) for step in steps)
        return taught and (epoch + 1) % self.options.validate_every == 0

    def _look(self) -> dict[str, float]:
        with whole_model(self.kept, self.twin) as model:
            value = validate(model, self.validation, self.accelerator)
        if value is None or self.state.best_value is None or value > self.state.best_value:
            self.best = _copy(self.kept)
            self.state = replace(self.state, best_value=value, best_epoch=self.state.epoch, looks_since_best=0)
        else:
            self.state = replace(self.state, looks_since_best=self.state.looks_since_best + 1)
        return {} if value is None else {f"val.{self.options.select_on}": value}

    def _features(self) -> Tensor:
        with whole_model(self.model, self.twin) as model:
            return pooled_features(model, self.feed.images)

    def _patience_is_spent(self) -> bool:
        return self.options.patience is not None and self.state.looks_since_best >= self.options.patience

    def _tell(self, recent: Recent, logs: Logs) -> None:
        self._check_finite()
        steps = recent.steps
        means = recent.read(self.accelerator)
        logs.step(self.state.step, **means)
        if self.advance is not None:
            self.advance(steps, live_line(means))

    def _check_finite(self) -> None:
        failed = self.stepper.first_failure()
        if failed is None:
            return
        epoch, number = divmod(failed, self.feed.steps_per_epoch)
        keys = self.feed.keys_of(self.feed.order(epoch).split(self.feed.batch_size)[number])
        main = self.accelerator.is_main_process
        raise non_finite_loss(failed + 1, keys, self.folder, self.accelerator.mixed_precision, write=main)

    def _save(self) -> None:
        self._check_finite()
        sums = agreed_mean(self.accelerator, self.sums.totals)
        scaler = {} if self.accelerator.scaler is None else self.accelerator.scaler.state_dict()
        main = self.accelerator.is_main_process
        tensors = {
            "model": whole_weights(self.model, keep=main),
            "optimizer": whole(optimizer_tensors(self.model, self.plain_optimizer), keep=main),
            "best": self.best,
            "objectives": self.model.objective_state(),
            "average": {} if self.average is None else whole_weights(self.average.model, keep=main),
            "group_shares": {} if self.feed.shares is None else self.feed.shares.state(),
        }
        if main:
            save_checkpoint(
                self._checkpoints, tensors, replace(self.state, sums=sums, summed=self.sums.steps, scaler=scaler)
            )

    def _restore(self, tensors: dict[str, dict[str, Tensor]]) -> None:
        load_whole(self.model, tensors["model"])
        self.model.load_objective_state(tensors["objectives"])
        if self.average is not None:
            load_whole(self.average.model, tensors["average"])
        if self.feed.shares is not None:
            self.feed.shares.load_state(tensors["group_shares"])
        restore_optimizer(self.model, self.plain_optimizer, tensors["optimizer"])
        self.best = tensors["best"]

    @property
    def _checkpoints(self) -> Path:
        return self.folder / "checkpoint"


def _copy(model: JointModel) -> dict[str, Tensor]:
    """The weights as they are now, whole, in the machine's memory."""
    return {name: value.detach().to("cpu", copy=True) for name, value in whole_weights(model).items()}
