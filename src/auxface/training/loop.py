"""The joint training loop, plainly: a step, a look at the validation split now and then, the best weights kept."""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from auxface.model import JointModel
from auxface.model.scoring import score_pictures
from auxface.objectives import Moment
from auxface.progress import Advance
from auxface.recipe import Train
from auxface.training.checkpoint import RunState, load_checkpoint, save_checkpoint
from auxface.training.feed import Feed
from auxface.training.journal import Journal
from auxface.training.optimiser import learning_rate, make_optimiser
from auxface.training.selection import selection_value

_LOG_EVERY = 20


class NonFiniteLoss(RuntimeError):
    """The loss is NaN or infinite; the message says at which step and names a way out."""


@dataclass(frozen=True)
class Validation:
    """The usable pictures of the validation split: uint8 [N, 3, S, S] and their labels."""

    pictures: np.ndarray
    labels: dict[str, Tensor]


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
    advance: Advance | None = None,
) -> Trained:
    """Train to the end of the recipe and leave the best weights in the model.

    A checkpoint in ``folder/checkpoint`` is gone on from. Every random choice is drawn from (seed, epoch, picture) or
    (seed, step), so a resumed run takes the steps that an unbroken one would have taken.

    Raises:
        NonFiniteLoss: the loss was NaN or infinite.
        InputError: the checkpoint in the folder is of another model.
    """
    options = model.recipe.train
    accelerator = Accelerator(mixed_precision=_precision(options, device), cpu=device == "cpu")
    model.to(accelerator.device)
    optimiser = make_optimiser(model, options)
    state = RunState()
    best = model.state_dict()
    checkpoint = folder / "checkpoint"
    if checkpoint.is_dir():
        state, best = load_checkpoint(checkpoint, model, optimiser)
    wrapped, prepared = accelerator.prepare(model, optimiser)
    journal = Journal(folder / "log.jsonl")
    steps = options.epochs * feed.steps_per_epoch
    started = time.perf_counter()
    for epoch in range(state.epoch, options.epochs):
        sums: dict[str, Tensor] = {}
        begun = time.perf_counter()
        model.train()
        for count, indices in enumerate(feed.indices(epoch), start=1):
            # Dropout and stochastic depth draw from torch's global state; tied to the step, a resumed run repeats them.
            torch.manual_seed(model.recipe.seed * 1_000_003 + state.step)
            rate = learning_rate(state.step, steps, options)
            for group in optimiser.param_groups:
                group["lr"] = rate
            with accelerator.autocast():
                loss, logs = wrapped(feed.batch(indices, epoch, accelerator.device), Moment(state.step, steps))
            accelerator.backward(loss)
            if options.clip_norm is not None:
                accelerator.clip_grad_norm_(model.parameters(), options.clip_norm)
            prepared.step()
            prepared.zero_grad()
            state = replace(state, step=state.step + 1)
            for name, value in (logs | {"loss": loss.detach()}).items():
                sums[name] = sums.get(name, torch.zeros((), device=loss.device)) + value.float()
            last = count == feed.steps_per_epoch
            if count % _LOG_EVERY == 0 or last:
                means = {name: float(value) / count for name, value in sums.items()}
                _check_finite(means, state.step, checkpoint)
                if advance is not None:
                    shown = " ".join(f"{name.split('.')[-1]} {value:.3f}" for name, value in means.items())
                    speed = count * len(indices) / (time.perf_counter() - begun)
                    advance(count - (count - 1) // _LOG_EVERY * _LOG_EVERY, f"{shown} {speed:.0f} pictures/s")
        state = replace(state, epoch=epoch + 1)
        entry = {name: float(value) / feed.steps_per_epoch for name, value in sums.items()}
        if state.epoch % options.validate_every == 0 or state.epoch == options.epochs:
            value = validate(model, validation)
            entry |= {} if value is None else {f"val.{options.select_on}": value}
            if value is None or state.best_value is None or value > state.best_value:
                best = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
                state = replace(state, best_value=value, best_epoch=state.epoch)
        seconds = time.perf_counter() - begun
        journal.write(epoch=state.epoch, step=state.step, learning_rate=rate, seconds=round(seconds, 3), **entry)
        if accelerator.is_main_process:
            save_checkpoint(checkpoint, model, optimiser, best, state)
    journal.close()
    model.load_state_dict(best)
    return Trained(model.eval(), state.best_epoch, state.best_value, time.perf_counter() - started)


def validate(model: JointModel, validation: Validation) -> float | None:
    """The recipe's selection figure on the validation split, or None where it cannot be measured."""
    logits = score_pictures(model, validation.pictures)
    return selection_value(model.recipe.train.select_on, model.tasks, logits, validation.labels)


def _precision(options: Train, device: str) -> str:
    if options.precision == "auto":
        gpu = device in ("auto", "cuda") and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        return "bf16" if gpu else "no"
    return {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}[options.precision]


def _check_finite(means: dict[str, float], step: int, checkpoint: Path) -> None:
    wrong = [name for name, value in means.items() if not math.isfinite(value)]
    if wrong:
        kept = f"; the last good state is in {checkpoint}" if checkpoint.is_dir() else ""
        raise NonFiniteLoss(
            f"the loss '{wrong[0]}' is not finite at step {step}{kept}; lower train.base_learning_rate or set "
            "train.clip_norm=1"
        )
