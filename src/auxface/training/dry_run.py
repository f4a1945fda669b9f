"""``auxface train --check``: everything built, one step on two samples, and how long the whole will take."""

import os
import time
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from auxface.data.images.decode import UnreadableImage, fit_square, read_image
from auxface.data.manifest import Manifest
from auxface.data.samples import LoadedSamples, clip_sampling, load_image_samples
from auxface.data.shards import is_sharded
from auxface.data.video.clips import read_clips, recorded_clip
from auxface.data.video.frames import UnreadableVideo
from auxface.device import peak_memory
from auxface.errors import InputError
from auxface.recipe import Recipe
from auxface.training.assembly import Assembly
from auxface.training.distributed import is_shared_out, prepare, share_out, whole_model
from auxface.training.optimizer import make_optimizer
from auxface.training.train_step import Stepper
from auxface.training.wrapping import set_up_blocks

_TRIED = 8


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal found.

    Attributes:
        loss: of the step on two samples.
        parameters: numbers that are learned.
        batch_size: images per step.
        steps: of the whole run.
        step_seconds: one step of the whole batch, measured.
        hours: reading, training and validation together, reckoned up.
        memory_gib: the most so far.
    """

    loss: float
    parameters: int
    batch_size: int
    steps: int
    step_seconds: float
    hours: float
    memory_gib: float


class FirstImages:
    """Reads the first few images (or clips) of a split, keeps nothing on the disk, and times it.

    Attributes:
        seconds: per image or clip.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, manifest: Manifest, name: str, recipe: Recipe) -> LoadedSamples:
        """The whole split's rows, with the images that were read in place of all others.

        Raises:
            InputError: not one of them can be read.
        """
        begun = time.perf_counter()
        images: list[np.ndarray] = []
        reason = ""
        clips = recipe.encoder.num_frames is not None
        if clips:
            clip_sampling(recipe).check(manifest)
        if is_sharded(manifest) and not clips:
            images = list(np.asarray(load_image_samples(manifest, name, recipe.encoder.image_size).images[:_TRIED]))
        for path in [] if images else manifest.paths()[:_TRIED]:
            try:
                images += _clips(path, recipe) if clips else [_image(path, recipe.encoder.image_size)]
            except (UnreadableImage, UnreadableVideo) as error:
                reason = f"{path}: {error}"
        if not images:
            what = "videos" if clips else "images"
            raise InputError(f"not one of the first {_TRIED} {what} of '{name}' can be read ({reason})")
        self.seconds = (time.perf_counter() - begun) / len(images)
        if clips and not recorded_clip(manifest.crop):
            # As many clips of every video as there may be.
            again = manifest.table.index.repeat(recipe.sampled_clips.per_video)
            manifest = replace(manifest, table=manifest.table.loc[again].reset_index(drop=True))
        rows = len(manifest.table)
        return LoadedSamples(manifest, np.stack(images)[np.arange(rows) % len(images)], manifest.table.iloc[:0])


def _image(path: Path, size: int) -> np.ndarray:
    return fit_square(read_image(path), size).transpose(2, 0, 1)


def _clips(path: Path, recipe: Recipe) -> list[np.ndarray]:
    return [clip for _, clip in read_clips(path, clip_sampling(recipe)) if clip is not None]


def rehearse(parts: Assembly, accelerator: Accelerator, seconds_to_read: float = 0.0) -> Rehearsal:
    """Take one step on two samples, then time steps of the whole batch; writes nothing.

    Raises:
        InputError: the loss is not finite, or memory runs out.
    """
    options, feed = parts.recipe.train, parts.feed
    twin = deepcopy(parts.model) if is_shared_out(accelerator) else None
    model = parts.model.to(accelerator.device)
    set_up_blocks(model, options, accelerator.device, accelerator.mixed_precision)
    if twin is not None:
        share_out(model, accelerator)
    wrapped, prepared = prepare(accelerator, model, make_optimizer(model, options))
    steps = options.epochs * feed.steps_per_epoch
    stepper = Stepper(model, wrapped, prepared, accelerator, feed, steps)
    model.train()
    order = feed.order(0)
    loss = float(stepper.take(order[:2], 0, 0)["loss"])
    if not np.isfinite(loss):
        raise InputError("the loss of the first step is not finite; look at labels and train.precision")
    whole = order[: feed.batch_size]
    stepper.take(whole, 0, 1)
    taken = min(_timed(lambda: stepper.take(whole, 0, 2), accelerator) for _ in range(2))
    model.eval()
    some = torch.from_numpy(parts.validation.images[: feed.batch_size]).to(accelerator.device).float() / 255
    with whole_model(model, twin) as looking, torch.inference_mode():
        looked = _timed(lambda: looking.logits(some), accelerator) / len(some)
    looks = -(-options.epochs // options.validate_every)
    validated = len(parts.validation.images) / accelerator.num_processes
    images = sum(len(part.images) for part in parts.parts.values())
    seconds = steps * taken + looks * looked * validated + images * seconds_to_read / (os.cpu_count() or 1)
    return Rehearsal(
        loss=loss,
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        batch_size=feed.batch_size,
        steps=steps,
        step_seconds=taken,
        hours=seconds / 3600,
        memory_gib=peak_memory(accelerator.device) / 2**30,
    )


def _timed(action: object, accelerator: Accelerator) -> float:
    assert callable(action)
    begun = time.perf_counter()
    action()
    if accelerator.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun
