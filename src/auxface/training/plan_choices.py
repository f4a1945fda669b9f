"""The choices of a plan: encoder, initial weights, image size, schedule, class weights, augmentation, auxiliary.

The values are our own; docs/plan.md lists the rules, and docs/models.md the measurements on which they are based.

Example::

    planner = Planner(manifest, data_facts(manifest), 1800.0, "cpu", time.perf_counter())
    planner.choose(available_starts("cpu", None), with_baselines=True)
    planner.recipe(), planner.estimated_seconds
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from auxface.data.manifest import Manifest
from auxface.device import resolve_device
from auxface.errors import InputError
from auxface.progress import progress_bar
from auxface.recipe import Recipe
from auxface.recipe.load import check_recipe, load_recipe
from auxface.recipe.sections import PACKAGED_ENCODER
from auxface.sample_kind import MUSIC
from auxface.training.assembly import assemble
from auxface.training.baselines import measure_baselines
from auxface.training.distributed import make_accelerator
from auxface.training.dry_run import DryRun, FirstImages, dry_run
from auxface.training.plan_inputs import IMBALANCED, DataFacts, Start, TaskFacts

SIZES = (64, 96, 128, 160, 224)
_REFERENCE_SIZE = {"cpu": 96, "mps": 160, "cuda": 224}
# Minimum number of epochs for the choice of encoder and image size, and maximum number of planned epochs.
_FEWEST_EPOCHS = {True: 10, False: 30}
_MOST_EPOCHS = {True: 30, False: 100}
_USED_FRACTION = 0.95
# Time that the plan and training commands need to start, mostly for imports.
_STARTING_SECONDS = 10.0
_TIMED_IMAGES, _TIMED_VALIDATION = 256, 64
_LARGEST_WEIGHT = 10.0
# The peak for EfficientNet-Lite0 was determined by experiment (docs/models.md); other encoders get the usual peak.
_MEASURED_PEAK, _USUAL_PEAK = 2e-3, 1e-3
# A plan adds an auxiliary if there are at most this many labeled images, and at least this ratio of unlabeled images to
# labeled images.
_FEW_LABELED, _UNLABELED_RATIO = 10_000, 1.0


@dataclass(frozen=True)
class Choice:
    """One recipe key that the plan sets.

    Attributes:
        key: dotted name of the key, such as ``encoder.image_size``.
        value: value of the key, as in YAML.
        reason: reason for the value, in one sentence.
    """

    key: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Timing:
    """One candidate that was timed.

    Attributes:
        candidate: description of the candidate: encoder, initial weights, image size, precision and memory format.
        images_per_second: training throughput of one step.
        step_seconds: duration of the step.
    """

    candidate: str
    images_per_second: float
    step_seconds: float


@dataclass(frozen=True)
class _Cost:
    """Measured costs of a training run: steps per epoch, seconds per step, and seconds for reading and validation."""

    steps: int
    step_seconds: float
    reading: float
    validating: float

    @property
    def epoch(self) -> float:
        return self.steps * self.step_seconds


class Planner:
    """The choices of a plan, in order; each method sets some recipe keys with their reasons.

    Args:
        manifest: manifest of the labeled and unlabeled images.
        facts: facts about the manifest.
        budget: time in seconds for planning and training.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        began: value of ``time.perf_counter()`` at the start of planning.

    Attributes:
        choices: chosen recipe keys, with their reasons.
        timings: candidates that were timed.
        start: chosen encoder and its initial weights.
        baselines: balanced accuracy of simple baselines, by task.
        planning_seconds: time spent on planning.
        estimated_seconds: estimated time of planning, reading, training and validation.
    """

    start: Start
    baselines: dict[str, dict[str, float]]
    planning_seconds: float
    estimated_seconds: float

    def __init__(self, manifest: Manifest, facts: DataFacts, budget: float, device: str, began: float) -> None:
        self.manifest, self.facts, self.budget, self.device, self.began = manifest, facts, budget, device, began
        self.kind = resolve_device(device)
        self.sample = _evenly_sampled(manifest)
        self.images = facts.labeled + facts.unlabeled
        self.threads: int | Literal["auto"] = "auto"
        self.choices: list[Choice] = []
        self.timings: list[Timing] = []

    def choose(self, starts: list[Start], *, with_baselines: bool) -> None:
        """Make all choices of the plan; the time for planning counts towards ``budget``."""
        self._set("name", "auto", "a plan's recipe")
        self._choose_auxiliary()
        self._choose_tasks()
        self.start = self._choose_encoder(starts)
        self._choose_optimization(self.start)
        timed = self._choose_speed()
        cost = self._cost(timed)
        self._require_an_epoch(cost, time.perf_counter() - self.began)
        self.baselines = measure_baselines(self.manifest, self.recipe()) if with_baselines else {}
        self.planning_seconds = time.perf_counter() - self.began
        self.estimated_seconds = self._choose_epochs(cost, self.start, self.planning_seconds)

    def recipe(self) -> Recipe:
        """Return the recipe with the choices made so far."""
        return _checked(self._raw())

    def _choose_auxiliary(self) -> None:
        facts = self.facts
        counts = f"{facts.labeled} labeled and {facts.unlabeled} unlabeled training images"
        needed = facts.unlabeled >= _UNLABELED_RATIO * facts.labeled and facts.labeled <= _FEW_LABELED
        if not needed or facts.is_forgery:
            reason = f"{counts}: without many unlabeled images, an auxiliary halves the number of epochs in the budget"
            self._set("base", "supervised", reason)
            return
        self._set("base", "l_ssat", f"{counts}: the reconstruction of texture also uses unlabeled images")
        self._set("balance", {"kind": "gradient", "ratio": 0.3}, "auxiliary gradient norm: 0.3 times that of the task")
        fraction = min(max(facts.labeled / self.images, 0.5), 0.9)
        self._set("train.labeled_per_batch", fraction, "every step has as many labeled images as unlabeled ones")

    def _choose_tasks(self) -> None:
        for name, task in self.facts.tasks.items():
            weights = _class_weights(self.manifest, name, task)
            reason = f"{task.kind}, {task.known} labeled images" + (
                f", classes {task.imbalance:.0f}:1" if task.kind != "ordinal" else ""
            )
            if weights:
                reason += f": classes are weighted by inverse frequency, at most {_LARGEST_WEIGHT:g}, from "
                reason += f"{IMBALANCED:g}:1 on"
            self._set(f"tasks.{name}", {"class_weights": weights} if weights else {}, reason)

    def _choose_encoder(self, starts: list[Start]) -> Start:
        """Time the candidates, and choose the first that leaves time for enough epochs at the smallest image size."""
        reference = _REFERENCE_SIZE[self.kind]
        self._set(
            "train.batch_size",
            32 if self.kind == "cpu" else 64,
            f"small batches allow more steps in the same time; usual value on {self.kind}",
        )
        seconds: list[float] = []
        with progress_bar("time candidates", len(starts), "encoders") as advance:
            for each in starts:
                timed = self._time({**each.encoder, "image_size": reference}, f"{each.name}, {reference} pixels")
                seconds.append(timed.step_seconds / timed.batch_size)
                advance()
        smallest = (SIZES[0] / reference) ** 2
        fits = [
            self.images * second * smallest * _FEWEST_EPOCHS[each.is_pretrained] <= self.budget - _STARTING_SECONDS
            for each, second in zip(starts, seconds, strict=True)
        ]
        chosen = fits.index(True) if any(fits) else int(np.argmin(seconds))
        start = starts[chosen]
        slower = ", ".join(each.name for each in starts[:chosen])
        reason = start.reason or f"the budget is too short for {slower}"
        for key, value in start.encoder.items():
            self._set(f"encoder.{key}", value, reason if key in ("name", "init_from", "pretrained") else "")
        # Upsampling images takes time but adds no detail; it helps only if a stride of 32 leaves few positions.
        largest = max(1.5 * self.facts.native_side, 96)
        sizes = [size for size in SIZES if size <= largest]
        needed = _FEWEST_EPOCHS[start.is_pretrained]
        per_image = {size: seconds[chosen] * (size / reference) ** 2 for size in sizes}
        affordable = [
            size for size in sizes if self.images * per_image[size] * needed <= self.budget - _STARTING_SECONDS
        ]
        listed = ", ".join(map(str, sizes))
        reason = f"native side {self.facts.native_side} pixels; "
        if affordable:
            reason += f"the largest of {listed} that leaves time for {needed} epochs"
        else:
            reason += f"the smallest of {listed}, because none of them leaves time for {needed} epochs"
        self._set("encoder.image_size", max(affordable, default=sizes[0]), reason)
        return start

    def _choose_optimization(self, start: Start) -> None:
        if self.facts.samples is MUSIC:
            self._set("train.augment", "spectrogram", "music: crops in time and masked bands, and nothing is mirrored")
            self._set("train.mirror", False, "")
        elif self.facts.is_forgery:
            reason = "real or forged: no blur and no resampling, which can remove the traces of a forgery"
            self._set("train.augment", "forensic_sharp", reason)
        else:
            reason = "faces are already cropped: small crops, mirroring and color changes"
            self._set("train.augment", "light", reason)
        was_measured = start.encoder["name"].partition(".")[0] == PACKAGED_ENCODER
        peak = _MEASURED_PEAK if was_measured else _USUAL_PEAK
        reason = "higher than usual, measured for this encoder" if was_measured else "usual for AdamW"
        rate = round(peak * 256 / self._raw()["train"]["batch_size"], 6)
        self._set("train.base_learning_rate", rate, f"peak {peak:g}: {reason}")
        self._set("train.weight_decay", 0.05, "usual for AdamW")
        if start.is_pretrained:
            decay = 1.0 if was_measured else 0.9
            reason = "equal rates were better for this encoder" if was_measured else "early layers change less"
            self._set("train.layer_decay", decay, reason)
            self._set("train.warmup_fraction", 0.1, "the encoder changes little until the new heads are partly trained")
        else:
            self._set("train.warmup_fraction", 0.05, "random weights")

    def _choose_speed(self) -> DryRun:
        """Time the precisions and memory formats at the chosen image size, and choose the fastest."""
        encoder = self._raw()["encoder"]
        options: list[tuple[dict[str, Any], str]] = [({"precision": "fp32"}, "fp32")]
        options.append(({"precision": "fp32", "channels_last": True}, "fp32 with channels last"))
        if self.kind != "mps":
            options.append(({"precision": "bf16", "channels_last": True}, "bf16 with channels last"))
        label = f"{encoder['name']}, {encoder['image_size']} pixels"
        timed = [(self._time(encoder, f"{label}, {name}", keys), keys, name) for keys, name in options]
        best, keys, name = min(timed, key=lambda item: item[0].step_seconds)
        for key, value in keys.items():
            self._set(f"train.{key}", value, f"{name} was the fastest of {', '.join(each[2] for each in timed)}")
        return best

    def _cost(self, timed: DryRun) -> _Cost:
        """Return the cost of training, excluding planning, computed from the times of a dry run."""
        steps = math.ceil(self.images / timed.batch_size)
        if self.facts.unlabeled and "labeled_per_batch" in self._raw()["train"]:
            half = max(self.facts.labeled, self.facts.unlabeled) * 2
            steps = math.ceil(half / timed.batch_size)
        reading = timed.reading_seconds / len(self.sample.table) * (self.images + self.facts.validation)
        return _Cost(steps, timed.step_seconds, reading, timed.scoring_seconds * self.facts.validation)

    def _require_an_epoch(self, cost: _Cost, planning: float) -> None:
        needed = _STARTING_SECONDS + planning + cost.reading + 2 * cost.validating + cost.epoch
        if self.budget * _USED_FRACTION < needed:
            shortest = math.ceil(needed / _USED_FRACTION / 60)
            raise InputError(
                f"--budget: {self.budget:.0f} seconds are not enough for one epoch of {self.images} images on this "
                f"machine; use at least {shortest}m"
            )

    def _choose_epochs(self, cost: _Cost, start: Start, planning: float) -> float:
        """Fit the number of epochs to the budget, and return the estimated time in seconds, including planning."""
        self._require_an_epoch(cost, planning)
        steps, epoch, validating = cost.steps, cost.epoch, cost.validating
        fixed = _STARTING_SECONDS + planning + cost.reading + validating
        usable = self.budget * _USED_FRACTION - fixed
        every = max(1, math.ceil(validating / (0.1 * epoch)))
        most = _MOST_EPOCHS[start.is_pretrained]
        epochs = max(1, min(int(usable / (epoch + validating / every)), most))
        reason = f"{steps} steps of {cost.step_seconds:.2f} s and {validating:.0f} s of validation fit the budget"
        if epochs == most:
            reason = f"at most {most} epochs; the budget would allow more"
        self._set("train.epochs", epochs, reason)
        if every > 1:
            self._set("train.validate_every", every, "validation takes at most a tenth of the time")
        # A last validation, for thresholds and evidence, follows training.
        limit = round(self.budget * _USED_FRACTION - fixed, 1)
        self._set("train.max_seconds", limit, "if steps are slower than measured, fewer epochs are trained")
        decay = min(max(1 - 10 / (steps * epochs), 0.9), 0.999)
        self._set("train.ema", round(decay, 4), "the average of about a tenth of the steps is validated and saved")
        validations = math.ceil(epochs / every)
        return fixed + epochs * epoch + validations * validating

    def _time(self, encoder: Mapping[str, Any], label: str, keys: Mapping[str, Any] | None = None) -> DryRun:
        raw = self._raw()
        raw["encoder"] = dict(encoder)
        raw["train"] = {**raw.get("train", {}), "epochs": 1, **(keys or {"precision": "fp32", "channels_last": True})}
        # The number of threads was determined with the first candidate.
        raw["train"]["threads"] = self.threads
        # The sample may lack labeled or unlabeled images.
        raw["train"].pop("labeled_per_batch", None)
        recipe = _checked(raw)
        accelerator = make_accelerator(recipe, self.device)
        reader = FirstImages()
        assembly = assemble(recipe, self.sample, accelerator.device.type, reader)
        self.threads = assembly.recipe.train.threads
        timed = dry_run(assembly, accelerator, reader.seconds_per_image)
        speed = timed.batch_size / timed.step_seconds
        self.timings.append(Timing(label, round(speed, 1), round(timed.step_seconds, 4)))
        return timed

    def _set(self, key: str, value: Any, reason: str) -> None:
        self.choices.append(Choice(key, value, reason))

    def _raw(self) -> dict[str, Any]:
        raw: dict[str, Any] = {}
        for choice in self.choices:
            section, _, key = choice.key.partition(".")
            if key:
                raw.setdefault(section, {})[key] = choice.value
            else:
                raw[section] = choice.value
        return raw


def _checked(raw: dict[str, Any]) -> Recipe:
    """Validate a recipe that is based on a packaged recipe."""
    rest = dict(raw)
    below = load_recipe(rest.pop("base", "supervised")).model_dump(exclude_unset=True)
    return check_recipe({**below, **rest}, "plan")


def _class_weights(manifest: Manifest, name: str, task: TaskFacts) -> dict[str, float]:
    """Return inverse-frequency weights for imbalanced classes, at most 10 times the smallest; empty if balanced."""
    if task.imbalance < IMBALANCED or task.kind == "ordinal":
        return {}
    if task.kind == "multilabel":
        absent = {one: max(task.known - count, 0) for one, count in task.counts.items()}
        ratios = {one: absent[one] / max(count, 1) for one, count in task.counts.items()}
        return {one: round(min(ratio, _LARGEST_WEIGHT), 2) for one, ratio in ratios.items() if ratio >= IMBALANCED}
    largest = max(task.counts.values())
    weights = {one: min(largest / max(count, 1), _LARGEST_WEIGHT) for one, count in task.counts.items()}
    return {one: round(weight, 2) for one, weight in weights.items()}


def _evenly_sampled(manifest: Manifest) -> Manifest:
    """Return a manifest with a few rows of each split, for timing."""
    kept: list[int] = []
    for split, most in (("train", _TIMED_IMAGES), ("val", _TIMED_VALIDATION)):
        rows = np.flatnonzero(manifest.table["split"] == split)
        kept += rows[np.unique(np.linspace(0, len(rows) - 1, most).astype(int))].tolist()
    return replace(manifest, table=manifest.table.iloc[kept].reset_index(drop=True))
