"""Run a short trial to choose the precision, attention kernel, memory format and thread count if they are ``auto``.

A trial of at most about two seconds times training steps of a copy of the model on a few images. The chosen values
replace ``auto`` in the recipe, which is stored with the run, so that a resumed run needs no trial. Keys with a fixed
value are never changed. All times except the times for thread counts are cached per machine and model. The best thread
count is determined at every start, because it depends on the other programs that are running: on busy cores, two
threads can be ten times slower than one.

Example::

    options, trial = choose_speed(model, loader, "cpu")
    options.precision, options.threads          # ('fp32', 1)
    trial["images_per_second"]                  # {'1 thread': 310.2, '2 threads': 81.0, 'fp32, fused': 302.5, ...}
"""

import hashlib
import itertools
import json
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from auxface.atomic import atomic_file
from auxface.data.images.cache import cache_folder
from auxface.model import JointModel
from auxface.objectives import Batch, TrainProgress
from auxface.provenance import machine_kind
from auxface.recipe import Train
from auxface.training.data_loader import DataLoader
from auxface.training.performance import configure_blocks, torch_threads

_BUDGET_SECONDS = 2.0
# Batch normalization needs at least two images. A slow step is timed once, without warm-up.
_STEP_SECONDS, _SLOW_STEP_SECONDS = 0.08, 0.3
# Setting up the kernels of a deep convolutional network takes several times as long as a step, so a first step of up to
# this duration is repeated before the model counts as slow.
_SETUP_SECONDS = 2.0
_FEWEST_IMAGES, _MOST_IMAGES = 2, 64
# A trial does not save time in a run that is expected to end sooner than this.
_SHORT_RUN_SECONDS = 10.0
# Differences below 5% are within the noise of this short trial, so the default choice is kept.
_GAIN = 0.95
_HOPELESS = 3.0
_ROUNDS = 3
# For encoders with more parameters than this, a trial on a CPU times this many blocks.
_LARGE_ENCODER, _BLOCKS = 20_000_000, 2
# Length of the vectors on which thread counts are first tested: long enough for torch to use several threads.
_PROBE_VALUES, _PROBE_SECONDS, _PROBE_LOSS = 200_000, 0.1, 1.5
# The trial uses a step from the middle of training, in which most recipes run all objectives and gradient norms are not
# measured.
_PROGRESS = TrainProgress(step=3, total_steps=6)


class Kernels(NamedTuple):
    """A candidate in the trial; the fields are keys of the recipe's ``train`` section."""

    precision: str
    attention: str
    channels_last: bool

    def __str__(self) -> str:
        return f"{self.precision}, {self.attention}" + (", channels last" if self.channels_last else "")


def choose_speed(model: JointModel, loader: DataLoader, device: str) -> tuple[Train, dict[str, Any]]:
    """Replace ``auto`` in precision, attention, channels_last and threads with the choices of a short trial.

    Args:
        model: model with its initial weights, on the CPU; it is not modified.
        loader: loader of the training split.
        device: ``cpu``, ``cuda`` or ``mps``.

    Returns:
        The recipe's ``train`` section with these ``auto`` values replaced, and a record of the trial. The record is
        empty if no trial was run, for example for training runs of a few seconds.
    """
    options = model.recipe.train
    candidates, counts = open_kernels(model, device), _thread_counts(options, device)
    usual = candidates[0]
    fixed = {**usual._asdict(), "threads": counts[-1]}
    # With several processes, the first process runs the trial, and the other processes adopt its choices; see
    # agree_on_choices().
    if (len(candidates) == 1 and len(counts) == 1) or int(os.environ.get("RANK", "0")) > 0:
        return options.model_copy(update=fixed), {}
    with torch.random.fork_rng(devices=[]), torch_threads(counts[0]):
        trial = Trial(model, loader, device)
        trial.fit_images(usual)
        steps = options.epochs * loader.steps_per_epoch
        if trial.seconds[usual] * steps * loader.batch_size < _SHORT_RUN_SECONDS:
            return options.model_copy(update=fixed), {}
        by_threads = _time_threads(trial, counts, usual)
        threads = min(by_threads, key=lambda count: by_threads[count])
        torch.set_num_threads(1 if threads == "auto" else threads)
        place = _cache_file(model, candidates, device, threads)
        by_kernels = _cached(place, candidates)
        if by_kernels is None:
            by_kernels = _interleave(trial.step, candidates, trial, min)
            _store(place, by_kernels)
    best = min(by_kernels, key=lambda kernels: by_kernels[kernels])
    chosen = best if by_kernels[best] < _GAIN * by_kernels[usual] else usual
    record = {
        "images": trial.images,
        "images_per_second": {
            "threads": {str(count): round(1 / seconds, 1) for count, seconds in by_threads.items()},
            "kernels": {str(kernels): round(1 / seconds, 1) for kernels, seconds in by_kernels.items()},
        },
        "chosen": {**chosen._asdict(), "threads": threads},
    }
    return options.model_copy(update=record["chosen"]), record


def open_kernels(model: JointModel, device: str) -> list[Kernels]:
    """Return the candidates that the recipe allows, beginning with the default."""
    options, modules = model.recipe.train, list(model.encoder.modules())
    precisions = [options.precision] if options.precision != "auto" else ["fp32", "bf16"][: 1 if device == "mps" else 2]
    attentions = ["fused", "plain"] if options.attention == "auto" else [options.attention]
    formats = [bool(options.channels_last)]
    if options.channels_last == "auto":
        # Channels-last format does not help a model whose only convolution is the patch embedding, because the kernels
        # of this convolution do not overlap.
        overlapping = any(isinstance(each, nn.Conv2d) and each.kernel_size > each.stride for each in modules)
        formats = [False, True] if overlapping and model.recipe.encoder.num_frames is None else [False]
    found = [Kernels(*each) for each in itertools.product(precisions, attentions, formats)]

    def is_usual(kernels: Kernels) -> bool:
        # In bf16 on a CPU, torch's fused attention falls back to a slow path (docs/performance.md).
        wanted = "plain" if device == "cpu" and kernels.precision == "bf16" else "fused"
        return options.attention != "auto" or kernels.attention == wanted

    if not any(hasattr(module, "fused_attn") for module in modules):
        # The attention of the decoder alone takes too small a part of a step for a measurable difference.
        found = [kernels for kernels in found if is_usual(kernels)]
    usual = next(kernels for kernels in found if is_usual(kernels))
    # For slow models, only a few candidates are timed; the default and the other precision or format come first.
    other = [kernels for kernels in found if is_usual(kernels)][-1]
    return sorted(found, key=lambda kernels: (kernels != usual, kernels != other))


def _thread_counts(options: Train, device: str) -> list[Any]:
    """Return the candidate thread counts in ascending order; the last candidate is the default."""
    if options.threads != "auto" or device != "cpu":
        return [options.threads]
    most = torch.get_num_threads()
    several_processes = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if "OMP_NUM_THREADS" in os.environ or several_processes or most == 1:
        return [most]
    return sorted({1, most, most // 2 if most >= 8 else most})


class Trial:
    """A trial: timed training steps of a copy of the model on a few images."""

    def __init__(self, model: JointModel, loader: DataLoader, device: str) -> None:
        self.began = time.perf_counter()
        self.device, self.loader, self.options = torch.device(device), loader, model.recipe.train
        self.model = deepcopy(model)
        self.scale = _shorten(self.model) if device == "cpu" else 1.0
        self.model.to(self.device).train()
        # Seconds per image of each candidate that was timed so far, for the current batch and number of threads.
        self.seconds: dict[Any, float] = {}
        self.use(_FEWEST_IMAGES if device == "cpu" else _MOST_IMAGES)

    def use(self, images: int) -> None:
        """Prepare a batch of at most ``images`` images for the trial."""
        draws = self.loader.order(0)[: min(images, self.loader.batch_size)]
        self.batch: Batch = self.loader.batch(draws, 0, self.device)
        self.images = len(draws)

    def fit_images(self, kernels: Kernels) -> None:
        """Choose the number of images so that a step takes about 0.1 s; the first step also warms up the kernels."""
        most = min(_MOST_IMAGES, self.loader.batch_size, len(self.loader.order(0)))
        while True:
            seconds = self.step(kernels) * self.images
            if _STEP_SECONDS < seconds < _SETUP_SECONDS:
                seconds = self.step(kernels) * self.images
            if seconds > _STEP_SECONDS or self.images >= most:
                break
            self.use(min(most, self.images * min(max(int(_STEP_SECONDS / seconds), 2), 8)))
        self.is_slow = seconds > _SLOW_STEP_SECONDS
        self.seconds[kernels] = seconds / self.images

    def step(self, kernels: Kernels, *, in_wall_time: bool = False) -> float:
        """Return the seconds per image of a forward and backward pass.

        With one thread, processor time is measured, which excludes other programs, unless ``in_wall_time`` is true.
        """
        alone = self.device.type == "cpu" and torch.get_num_threads() == 1 and not in_wall_time
        clock = time.process_time if alone else time.perf_counter
        plain = {"compile": False, "checkpoint_activations": False}
        options = self.options.model_copy(update={**kernels._asdict(), **plain})
        if not kernels.channels_last and self.model.recipe.encoder.num_frames is None:
            self.model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(kernels.precision)
        configure_blocks(self.model, options, self.device, {"fp32": "no"}.get(kernels.precision, kernels.precision))
        self._wait()
        start = clock()
        with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            loss = self.model(replace(self.batch), _PROGRESS).loss
        if loss.requires_grad:
            loss.backward()
        self._wait()
        seconds = self.scale * (clock() - start)
        self.model.zero_grad(set_to_none=True)
        return seconds / self.images

    def has_time_for(self, number: int, seconds: float) -> bool:
        """Return whether there is time for a candidate, given its index and the approximate duration of its step.

        The first two candidates are always timed, so that the precision is tested even for a large model that trains
        for hours.
        """
        return number < 2 or time.perf_counter() - self.began + seconds / self.scale < _BUDGET_SECONDS

    @property
    def time_left(self) -> bool:
        return time.perf_counter() - self.began < _BUDGET_SECONDS

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def _shorten(model: JointModel) -> float:
    """Keep only the first two of a large encoder's identical blocks; return the factor by which a step is shortened.

    The blocks account for nearly all of the time of a step and are equally fast, so a trial needs only some of them.
    """
    if sum(parameter.numel() for parameter in model.encoder.parameters()) < _LARGE_ENCODER:
        return 1.0
    for module in model.encoder.modules():
        blocks = getattr(module, "blocks", None)
        if isinstance(blocks, nn.Sequential) and len(blocks) > _BLOCKS and len({type(each) for each in blocks}) == 1:
            depth, module.blocks = len(blocks), blocks[:_BLOCKS]
            return depth / _BLOCKS
    return 1.0


def _time_threads(trial: Trial, counts: Sequence[Any], kernels: Kernels) -> dict[Any, float]:
    """Return the mean seconds per image for each thread count, except for counts that are clearly too slow.

    The mean is used instead of the minimum, because few steps are undisturbed when other programs use the same cores.
    """
    # On busy cores, a single step with several threads may take longer than the time limit of the trial.
    probes = {count: _probe(count) for count in counts if count != "auto"}
    possible = [count for count in counts if count == "auto" or probes[count] < _PROBE_LOSS * probes[counts[0]]]
    if len(possible) == 1:
        return {possible[0]: trial.seconds[kernels]}

    def timed(count: int) -> float:
        torch.set_num_threads(count)
        return trial.step(kernels, in_wall_time=True)

    return _interleave(timed, possible, trial, lambda times: sum(times) / len(times))


def _probe(threads: int) -> float:
    """Return the mean duration in seconds of a small vector operation, which consists mainly of threading overhead."""
    torch.set_num_threads(threads)
    vector = torch.zeros(_PROBE_VALUES)
    vector.add_(1)
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < _PROBE_SECONDS:
        vector.add_(1)
        calls += 1
    return (time.perf_counter() - start) / calls


def _interleave(
    timed: Callable[[Any], float], candidates: Sequence[Any], trial: Trial, summary: Callable[[list[float]], float]
) -> dict[Any, float]:
    """Time the candidates alternately, so that a change of load affects all of them; drop candidates that are too slow.

    If a step is slow, each candidate is timed once without a warm-up step; after the second candidate, further
    candidates are timed only while time remains.
    """
    times: dict[Any, list[float]] = {}
    if trial.is_slow:
        found: dict[Any, float] = {}
        for number, each in enumerate(candidates):
            if trial.has_time_for(number, trial.images * max(found.values(), default=0.0)):
                found[each] = timed(each)
        return found
    for turn in range(_ROUNDS):
        for candidate in candidates:
            each = times.setdefault(candidate, [])
            fastest = min(summary(some) for some in times.values() if some) if turn else 0.0
            if turn and (not trial.time_left or not each or summary(each) > _HOPELESS * fastest):
                continue
            if not turn:
                timed(candidate)
            each.append(timed(candidate))
    return {candidate: summary(each) for candidate, each in times.items()}


def _cache_file(model: JointModel, candidates: Sequence[Kernels], device: str, threads: Any) -> Path:
    recipe = model.recipe
    parts = [
        machine_kind(),
        _processor(),
        torch.__version__,
        device,
        threads,
        recipe.encoder.model_dump(mode="json"),
        recipe.model_dump(mode="json", include={"primary", "auxiliary", "auxiliaries", "fusion", "scheme"}),
        [str(kernels) for kernels in candidates],
        [list(parameter.shape) for parameter in model.parameters()],
    ]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]
    return cache_folder() / "measured_choices" / f"{key}.json"


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "flags")):
                return line if line.startswith("model name") else platform.processor()
    return platform.processor()


def _cached(place: Path, candidates: Sequence[Kernels]) -> dict[Kernels, float] | None:
    try:
        saved = json.loads(place.read_text())
        found = {kernels: float(saved[str(kernels)]) for kernels in candidates if str(kernels) in saved}
    except (OSError, ValueError, TypeError, KeyError):
        return None
    possible = all(0 < seconds < math.inf for seconds in found.values())
    return found if candidates[0] in found and possible else None


def _store(place: Path, seconds: dict[Kernels, float]) -> None:
    # Without a writable cache, the trial is repeated at every start.
    with suppress(OSError), atomic_file(place) as temporary:
        temporary.write_text(json.dumps({str(kernels): value for kernels, value in seconds.items()}) + "\n")
