"""The training loop: epochs of steps, validation, checkpoints, and the choice of the best weights.

Example::

    result = run_training(model, loader, validation, folder=Path("runs/a"))
    result.model, result.best_epoch, result.best_value
"""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from auxface.model import JointModel
from auxface.model.balance import ObjectiveSchedule
from auxface.model.scoring import pooled_features
from auxface.objectives import TrainingSet, TrainProgress
from auxface.progress import Advance
from auxface.training.checkpoint import (
    RunState,
    load_checkpoint,
    load_optimizer_tensors,
    newest_checkpoint,
    optimizer_tensors,
    save_checkpoint,
)
from auxface.training.data_loader import DataLoader
from auxface.training.distributed import make_accelerator, mean_over_processes, prepare
from auxface.training.fsdp import (
    full_model,
    full_state_dict,
    full_tensors,
    load_full_state_dict,
    shard_like,
    shard_model,
    unsharded_copy,
)
from auxface.training.logging import RunLogs, RunningMeans, StepMeter, epoch_line, progress_note
from auxface.training.optimizer import WeightAverage, make_optimizer
from auxface.training.performance import configure_blocks, torch_threads
from auxface.training.run_errors import non_finite_loss, readable_errors
from auxface.training.selection import Validation, is_better, mean_skill, validate
from auxface.training.train_step import Stepper

_LOG_EVERY = 20


@dataclass(frozen=True)
class TrainingResult:
    """Result of a run.

    Attributes:
        model: model with its best weights, in evaluation mode.
        best_epoch: epoch of the best weights, counted from 1.
        best_value: validation metric of the best weights; None if it could not be computed.
        seconds: training time.
        epochs: number of planned epochs: as in the recipe, or fewer if ``train.max_seconds`` shortened the run.
    """

    model: JointModel
    best_epoch: int
    best_value: float | None
    seconds: float
    epochs: int


def run_training(
    model: JointModel,
    loader: DataLoader,
    validation: Validation,
    *,
    folder: Path,
    device: str = "auto",
    training: TrainingSet | None = None,
    accelerator: Accelerator | None = None,
    advance: Advance | None = None,
) -> TrainingResult:
    """Train for all epochs of the recipe, and return the model with its best weights.

    A run with a checkpoint in ``folder/checkpoint`` is resumed. Every random choice depends on (seed, epoch, draw) or
    (seed, step), so a resumed run performs the same steps as an uninterrupted run.

    Args:
        model: model with its initial weights.
        loader: loader of the training split.
        validation: images and labels of the validation split.
        folder: folder for checkpoints and logs; only the first process writes there.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``; ignored if an accelerator is given.
        training: access to the training split, for objectives that need it.
        accelerator: see :func:`auxface.training.distributed.make_accelerator`.
        advance: callable that shows progress; see :func:`auxface.progress.progress_bar`.

    Raises:
        NonFiniteLoss: the loss became NaN or infinite.
        InputError: the checkpoint belongs to another model, or memory or disk space ran out.
    """
    accelerator = accelerator or make_accelerator(model.recipe, device)
    options = model.recipe.train
    with readable_errors(folder, loader.batch_size, options.accumulate), torch_threads(options.threads):
        return _Run(model, loader, validation, folder, accelerator, training, advance).train()


class _Run:
    """The state of a run, and the steps of the loop as methods."""

    def __init__(
        self,
        model: JointModel,
        loader: DataLoader,
        validation: Validation,
        folder: Path,
        accelerator: Accelerator,
        training: TrainingSet | None,
        advance: Advance | None,
    ) -> None:
        self.model, self.loader, self.validation, self.folder = model, loader, validation, folder
        self.accelerator, self.training = accelerator, training
        self.advance = advance if accelerator.is_main_process else None
        self.options = model.recipe.train
        # The order of these steps matters: the model is copied before its blocks are configured, it is sharded before
        # the optimizer is created, and the checkpoint is loaded before Accelerate wraps model and optimizer.
        self.unsharded = unsharded_copy(model, accelerator)
        model.to(accelerator.device)
        self.average = WeightAverage(model, self.options.ema) if self.options.ema is not None else None
        self.evaluated = model if self.average is None else self.average.model
        self.best = _copy_weights(self.evaluated)
        configure_blocks(model, self.options, accelerator.device, accelerator.mixed_precision)
        if self.unsharded is not None:
            shard_model(model, accelerator)
            if self.average is not None:
                shard_model(self.average.model, accelerator)
            self.training = None if training is None else replace(training, features=self._pooled_features)
        self.optimizer = make_optimizer(model, self.options)
        self.state = RunState()
        if newest_checkpoint(self._checkpoints) is not None:
            self.state, _ = load_checkpoint(self._checkpoints, self._restore)
        wrapped, prepared = prepare(accelerator, model, self.optimizer)
        if self.state.scaler and accelerator.scaler is not None:
            accelerator.scaler.load_state_dict(self.state.scaler)
        self.stepper = Stepper(
            model=model,
            wrapped=wrapped,
            optimizer=prepared,
            accelerator=accelerator,
            loader=loader,
            total_steps=self.epochs * loader.steps_per_epoch,
        )
        totals = {name: torch.tensor(value, device=accelerator.device) for name, value in self.state.sums.items()}
        self.epoch_means = RunningMeans(totals, dict(self.state.summed))
        self.validation_seconds = 0.0

    @property
    def epochs(self) -> int:
        """Number of epochs of the run, which ``train.max_seconds`` may have reduced."""
        return self.state.epochs or self.options.epochs

    def train(self) -> TrainingResult:
        is_main = self.accelerator.is_main_process
        self.began = time.perf_counter() - self.state.seconds
        with RunLogs(self.folder, self.state.step, tensorboard=self.options.tensorboard, is_main=is_main) as logs:
            if self.advance is not None:
                self.advance(self.state.step, "")
            while self.state.epoch < self.epochs and not self._is_out_of_patience():
                self._train_epoch(logs)
        self.accelerator.wait_for_everyone()
        self.stepper.optimizer.zero_grad()
        model = self.model
        if self.unsharded is not None:
            model = self.unsharded.to(self.accelerator.device)
            model.load_objective_state(full_tensors(self.model.objective_state()))
        model.load_state_dict(self.best)
        best = (self.state.best_epoch, self.state.best_value)
        return TrainingResult(model.eval(), *best, seconds=time.perf_counter() - self.began, epochs=self.epochs)

    def _is_out_of_patience(self) -> bool:
        return self.options.patience is not None and self.state.validations_since_best >= self.options.patience

    def _train_epoch(self, logs: RunLogs) -> None:
        epoch, steps = self.state.epoch, self.loader.steps_per_epoch
        start, first = time.perf_counter(), self.state.step_in_epoch
        # If a run is resumed within an epoch, the tables of this epoch are read from the checkpoint.
        if self.training is not None and not self.state.step_in_epoch:
            self.model.before_epoch(self.training, epoch)
        self.model.train()
        meter = StepMeter()
        for number, draws in enumerate(self.loader.draws(epoch)):
            if number < first:
                continue
            logged = self.stepper.train_step(draws, epoch, self.state.step)
            if self.average is not None:
                self.average.update(self.model, self.state.step)
            self.state = replace(self.state, step=self.state.step + 1, step_in_epoch=number + 1)
            meter.add(logged, len(draws))
            self.epoch_means.add(logged)
            is_last = number + 1 == steps
            if (number + 1) % _LOG_EVERY == 0 or is_last:
                self._log_steps(meter, logs)
                self._keep_within_time((time.perf_counter() - start) / (number + 1 - first))
            if self.state.step % self.options.checkpoint_every == 0 and not is_last:
                self._save()
        entry = self.epoch_means.compute(self.accelerator) | self.model.report()
        self.state = replace(self.state, epoch=epoch + 1, step_in_epoch=0, sums={}, summed={})
        self.epoch_means = RunningMeans()
        if self._validates_after(epoch):
            entry |= self._validate()
        group = self.optimizer.param_groups[0]
        seconds = round(time.perf_counter() - start, 3)
        logs.epoch(
            self.state.epoch, self.state.step, learning_rate=group["lr"] / group["scale"], seconds=seconds, **entry
        )
        self._save()
        if self.advance is not None:
            self.advance(0, line=epoch_line(self.state.epoch, self.epochs, entry, seconds))

    def _log_steps(self, meter: StepMeter, logs: RunLogs) -> None:
        self._check_finite()
        steps = meter.steps
        means = meter.read(self.accelerator)
        logs.step(self.state.step, **means)
        if self.advance is not None:
            self.advance(steps, progress_note(means))

    def _check_finite(self) -> None:
        failed = self.stepper.first_failure()
        if failed is None:
            return
        epoch, number = divmod(failed, self.loader.steps_per_epoch)
        keys = self.loader.keys_of(self.loader.order(epoch).split(self.loader.batch_size)[number])
        is_main = self.accelerator.is_main_process
        raise non_finite_loss(failed + 1, keys, self.folder, self.accelerator.mixed_precision, write=is_main)

    def _validates_after(self, epoch: int) -> bool:
        """Return whether to validate after an epoch, counted from 0; false while the heads have initial weights."""
        if epoch + 1 == self.epochs:
            return True
        if not self.model.recipe.trains_tasks:
            return (epoch + 1) % self.options.validate_every == 0
        first = epoch * self.loader.steps_per_epoch
        steps = range(first, first + self.loader.steps_per_epoch)
        schedule = ObjectiveSchedule(self.model.recipe)
        trains_heads = any(schedule.trains_primary(TrainProgress(step, self.stepper.total_steps)) for step in steps)
        return trains_heads and (epoch + 1) % self.options.validate_every == 0

    def _keep_within_time(self, step_seconds: float) -> None:
        """Reduce the number of epochs if the rest of the run would exceed ``train.max_seconds``.

        Args:
            step_seconds: mean duration of a step in this epoch.
        """
        limit = self.options.max_seconds
        if limit is None:
            return
        # All processes make the same decision, based on the slowest process.
        spent = time.perf_counter() - self.began
        measured = torch.tensor([step_seconds, self.validation_seconds, spent])
        measured = self.accelerator.gather(measured[None].to(self.accelerator.device))
        assert isinstance(measured, Tensor)
        step, validation, spent = measured.amax(dim=0).tolist()
        steps = self.loader.steps_per_epoch
        epoch = steps * step + validation / self.options.validate_every
        begun = self.state.epoch + self.state.step_in_epoch / steps
        # The last epoch is always validated.
        fitting = math.floor(begun + (limit - spent - validation) / epoch)
        epochs = max(min(self.epochs, fitting), self.state.epoch + 1)
        if epochs < self.epochs:
            self.state = replace(self.state, epochs=epochs)
            self.stepper.plan_steps(epochs * steps)
            if self.advance is not None:
                self.advance(0, total=epochs * steps)

    def _validate(self) -> dict[str, float]:
        start = time.perf_counter()
        with full_model(self.evaluated, self.unsharded) as model:
            logs = model.validation_logs(self.validation.images)
            if model.recipe.trains_tasks:
                value = validate(model, self.validation, self.accelerator)
            else:
                value = mean_skill(logs)
        if is_better(value, self.state.best_value):
            self.best = _copy_weights(self.evaluated)
            self.state = replace(self.state, best_value=value, best_epoch=self.state.epoch, validations_since_best=0)
        else:
            self.state = replace(self.state, validations_since_best=self.state.validations_since_best + 1)
        self.validation_seconds = time.perf_counter() - start
        return logs if value is None else logs | {f"val.{self.model.recipe.selection_metric}": value}

    def _pooled_features(self) -> Tensor:
        with full_model(self.model, self.unsharded) as model:
            return pooled_features(model, self.loader.images)

    def _save(self) -> None:
        self._check_finite()
        sums = mean_over_processes(self.accelerator, self.epoch_means.totals)
        scaler = {} if self.accelerator.scaler is None else self.accelerator.scaler.state_dict()
        is_main = self.accelerator.is_main_process
        tensors = {
            "model": full_state_dict(self.model, keep=is_main),
            "optimizer": full_tensors(optimizer_tensors(self.model, self.optimizer), keep=is_main),
            "best": self.best,
            "objectives": full_tensors(self.model.objective_state(), keep=is_main),
            "average": {} if self.average is None else full_state_dict(self.average.model, keep=is_main),
            "group_dro": {} if self.loader.group_dro is None else self.loader.group_dro.state_dict(),
        }
        if is_main:
            state = replace(
                self.state,
                sums=sums,
                summed=self.epoch_means.steps,
                scaler=scaler,
                seconds=time.perf_counter() - self.began,
            )
            save_checkpoint(self._checkpoints, tensors, state)

    def _restore(self, tensors: dict[str, dict[str, Tensor]]) -> None:
        load_full_state_dict(self.model, tensors["model"])
        state = self.model.objective_state()
        self.model.load_objective_state({k: shard_like(v, state.get(k)) for k, v in tensors["objectives"].items()})
        if self.average is not None:
            load_full_state_dict(self.average.model, tensors["average"])
        if self.loader.group_dro is not None:
            self.loader.group_dro.load_state_dict(tensors["group_dro"])
        load_optimizer_tensors(self.model, self.optimizer, tensors["optimizer"])
        self.best = tensors["best"]

    @property
    def _checkpoints(self) -> Path:
        return self.folder / "checkpoint"


def _copy_weights(model: JointModel) -> dict[str, Tensor]:
    """Return a copy of the full weights in CPU memory."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in full_state_dict(model).items()}
