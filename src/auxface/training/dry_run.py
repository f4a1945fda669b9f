"""``auxface train --check``: build model and data, train one step on two images, and estimate the duration of the run.

``auxface plan`` uses the same function to time candidates.

Example::

    reader = FirstImages()
    assembly = assemble(recipe, manifest, "cpu", reader)
    print(dry_run(assembly, accelerator, reader.seconds_per_image).hours)
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator

from auxface.data.manifest import Manifest
from auxface.data.samples import LoadedSamples, load_first_samples
from auxface.device import peak_memory
from auxface.errors import InputError
from auxface.recipe import Recipe
from auxface.training.assembly import Assembly
from auxface.training.distributed import prepare
from auxface.training.fsdp import full_model, shard_model, unsharded_copy
from auxface.training.optimizer import make_optimizer
from auxface.training.performance import configure_blocks, torch_threads
from auxface.training.train_step import Stepper


@dataclass(frozen=True)
class DryRun:
    """Result of a dry run.

    Attributes:
        loss: loss of the step on two samples.
        parameters: number of trainable parameters.
        batch_size: number of samples per step.
        steps: number of steps of the whole run.
        step_seconds: measured time of one step on a full batch.
        scoring_seconds: measured time to score one validation image.
        reading_seconds: estimated time to read all images.
        hours: estimated total time of reading, training and validation.
        memory_gib: peak memory in GiB up to the end of the dry run.
        unit: word for several samples: images, clips or excerpts.
    """

    loss: float
    parameters: int
    batch_size: int
    steps: int
    step_seconds: float
    scoring_seconds: float
    reading_seconds: float
    hours: float
    memory_gib: float
    unit: str = "images"


def dry_run(assembly: Assembly, accelerator: Accelerator, seconds_per_image: float = 0.0) -> DryRun:
    """Train one step on two images, then measure the duration of full-batch steps and of validation; write no files.

    Args:
        assembly: model and data; the model is modified.
        accelerator: accelerator of the run.
        seconds_per_image: time to read one image from disk, in seconds.

    Raises:
        InputError: the loss is NaN or infinite.
    """
    with torch_threads(assembly.recipe.train.threads):
        return _timed_steps(assembly, accelerator, seconds_per_image)


def _timed_steps(assembly: Assembly, accelerator: Accelerator, seconds_per_image: float) -> DryRun:
    options, loader = assembly.recipe.train, assembly.loader
    unsharded = unsharded_copy(assembly.model, accelerator)
    model = assembly.model.to(accelerator.device)
    configure_blocks(model, options, accelerator.device, accelerator.mixed_precision)
    if unsharded is not None:
        shard_model(model, accelerator)
    wrapped, prepared = prepare(accelerator, model, make_optimizer(model, options))
    steps = options.epochs * loader.steps_per_epoch
    stepper = Stepper(
        model=model,
        wrapped=wrapped,
        optimizer=prepared,
        accelerator=accelerator,
        loader=loader,
        total_steps=max(steps, 3),
    )
    model.train()
    order = loader.order(0)
    loss = float(stepper.train_step(order[:2], 0, 0)["loss"])
    if not np.isfinite(loss):
        raise InputError("the loss of the first step is not finite; check the labels and train.precision")
    batch = order[: loader.batch_size]
    stepper.train_step(batch, 0, 1)
    step_seconds = min(_seconds(lambda: stepper.train_step(batch, 0, 2), accelerator) for _ in range(2))
    model.eval()
    images = torch.from_numpy(assembly.validation.images[: loader.batch_size]).to(accelerator.device).float() / 255
    with full_model(model, unsharded) as full, torch.inference_mode():
        scoring_seconds = _seconds(lambda: full.logits(images), accelerator) / len(images)
    validations = -(-options.epochs // options.validate_every)
    validation_images = len(assembly.validation.images) / accelerator.num_processes
    reading_seconds = sum(assembly.image_counts().values()) * seconds_per_image / (os.cpu_count() or 1)
    seconds = steps * step_seconds + validations * scoring_seconds * validation_images + reading_seconds
    return DryRun(
        loss=loss,
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        batch_size=loader.batch_size,
        steps=steps,
        step_seconds=step_seconds,
        scoring_seconds=scoring_seconds,
        reading_seconds=reading_seconds,
        hours=seconds / 3600,
        memory_gib=peak_memory(accelerator.device) / 2**30,
        unit=assembly.splits["train"].unit,
    )


def _seconds(action: Callable[[], object], accelerator: Accelerator) -> float:
    start = time.perf_counter()
    action()
    if accelerator.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


class FirstImages:
    """A reader for :func:`assemble` that returns the first few images (or clips) of a split and writes no cache.

    Attributes:
        seconds_per_image: time per image (or clip) in the last split that was read.
    """

    def __init__(self) -> None:
        self.seconds_per_image = 0.0

    def __call__(self, manifest: Manifest, name: str, recipe: Recipe) -> LoadedSamples:
        """Return the result of :func:`auxface.data.samples.load_first_samples` and measure its time."""
        start = time.perf_counter()
        samples, count = load_first_samples(manifest, name, recipe)
        self.seconds_per_image = (time.perf_counter() - start) / count
        return samples
