"""Logs of a run: ``log.jsonl``, ``steps.jsonl``, TensorBoard, and the text of the progress bar.

Example::

    with RunLogs(folder, after_step=0, tensorboard=False, is_main=True) as logs:
        logs.step(20, loss=0.7, images_per_second=310.0)
        logs.epoch(1, 20, loss=0.8)
    curve = read_log(folder / "log.jsonl")
"""

import json
import math
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
from accelerate import Accelerator
from torch import Tensor

from auxface.device import peak_memory
from auxface.errors import InputError
from auxface.training.distributed import mean_over_processes


class RunLogs:
    """All logs of a run.

    Args:
        folder: folder of the run.
        after_step: number of completed steps; later entries of existing logs are dropped, because a resumed run writes
            them again.
        tensorboard: whether to also write TensorBoard event files.
        is_main: whether this is the first process; other processes write nothing.
    """

    def __init__(self, folder: Path, after_step: int, *, tensorboard: bool, is_main: bool) -> None:
        self.epochs = JsonLines(folder / "log.jsonl", after_step) if is_main else None
        self.steps = JsonLines(folder / "steps.jsonl", after_step) if is_main else None
        self.curves = TensorBoardCurves(folder / "tensorboard", after_step) if tensorboard and is_main else None

    def __enter__(self) -> "RunLogs":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for log in (self.epochs, self.steps, self.curves):
            if log is not None:
                log.close()

    def step(self, step: int, **values: float) -> None:
        """Log the means over the steps since the last entry."""
        if self.steps is not None:
            self.steps.write(step=step, **values)
        if self.curves is not None:
            self.curves.write(step, values)

    def epoch(self, epoch: int, step: int, **values: float) -> None:
        """Log the means over an epoch, and its validation metric."""
        if self.epochs is not None:
            self.epochs.write(epoch=epoch, step=step, **values)
        if self.curves is not None:
            self.curves.write(step, {f"epoch.{name}": value for name, value in values.items()})


class JsonLines:
    """A file to which JSON lines are appended; each line is flushed, so that it is not lost if the run is killed.

    Args:
        path: path of the file.
        after_step: lines of an existing file with a later ``step`` are dropped.
    """

    def __init__(self, path: Path, after_step: int = 0) -> None:
        self.file = path.open("a", encoding="utf-8")
        kept = [entry for entry in read_entries(path) if entry.get("step", 0) <= after_step]
        self.file.truncate(0)
        self.file.writelines(json.dumps(entry) + "\n" for entry in kept)
        self.file.flush()

    def write(self, **entry: Any) -> None:
        """Append an entry as one line of JSON."""
        self.file.write(json.dumps(entry) + "\n")
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class TensorBoardCurves:
    """TensorBoard event files.

    Args:
        folder: folder for the files.
        after_step: points from this step on are dropped, because a resumed run writes them again.

    Raises:
        InputError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, after_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise InputError("train.tensorboard requires TensorBoard; pip install 'auxface[tensorboard]'") from None
        self.writer = SummaryWriter(folder, purge_step=after_step or None)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Write one point of each curve."""
        for name, value in values.items():
            self.writer.add_scalar(name.replace(".", "/"), value, step)

    def close(self) -> None:
        """Flush and close the files."""
        self.writer.close()


def read_log(path: Path) -> pd.DataFrame:
    """Read ``log.jsonl`` or ``steps.jsonl`` as a table with one row per entry; missing values are NaN."""
    return pd.DataFrame(read_entries(path))


def read_entries(path: Path) -> list[dict[str, Any]]:
    """Read the entries of ``log.jsonl`` or ``steps.jsonl``; return an empty list if the file does not exist.

    An incomplete last line, left by a killed process, is dropped. Other corrupt lines are dropped with a warning.
    """
    if not path.is_file():
        return []
    text = path.read_bytes()
    lines = [line for line in text[: text.rfind(b"\n") + 1].splitlines() if line.strip()]
    entries = list(filter(None, map(_entry, lines)))
    if len(entries) < len(lines):
        corrupt = len(lines) - len(entries)
        warnings.warn(f"{path}: {corrupt} of {len(lines)} lines are corrupt and were skipped", stacklevel=2)
    return entries


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


_GEOMETRIC = ".gradient_ratio"
# A step with a gradient of zero, whose logarithm is infinite, counts as this ratio.
_LEAST_RATIO = 1e-4


@dataclass
class RunningMeans:
    """Means of scalars over steps, kept on the device.

    Each scalar is divided by the number of steps that logged it, because not every objective runs in every step. The
    mean of gradient ratios is geometric, because a single step with a very small gradient of the task would determine
    an arithmetic mean.

    Attributes:
        totals: sum of each scalar by name, float32; for gradient ratios, the sum of the logarithms.
        steps: number of steps that contribute to each sum.
    """

    totals: dict[str, Tensor] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)

    def add(self, logs: dict[str, Tensor]) -> None:
        """Add the scalars logged by a step."""
        for name, logged in logs.items():
            value = logged.float()
            if name.endswith(_GEOMETRIC):
                value = value.clamp_min(_LEAST_RATIO).log()
            self.totals[name] = self.totals[name] + value if name in self.totals else value
            self.steps[name] = self.steps.get(name, 0) + 1

    def compute(self, accelerator: Accelerator) -> dict[str, float]:
        """Return the mean of each scalar over steps and processes."""
        means = {name: total / self.steps[name] for name, total in self.totals.items()}
        reduced = mean_over_processes(accelerator, means)
        return {name: math.exp(mean) if name.endswith(_GEOMETRIC) else mean for name, mean in reduced.items()}


@dataclass
class StepMeter:
    """Losses, speed and memory over the last few steps; the device is synchronized only by :meth:`read`.

    Attributes:
        steps: number of steps since the last reading.
        images: number of images since the last reading, over all processes.
        means: running means of the logged scalars.
        since: time of the last reading.
    """

    steps: int = 0
    images: int = 0
    means: RunningMeans = field(default_factory=RunningMeans)
    since: float = field(default_factory=time.perf_counter)

    def add(self, logs: dict[str, Tensor], images: int) -> None:
        """Add the scalars and the number of images of a step."""
        self.steps += 1
        self.images += images
        self.means.add(logs)

    def read(self, accelerator: Accelerator) -> dict[str, float]:
        """Return the means over steps and processes, ``images_per_second`` and ``memory_gib``, and reset the meter."""
        means = self.means.compute(accelerator)
        now = time.perf_counter()
        means["images_per_second"] = round(self.images / (now - self.since), 2)
        means["memory_gib"] = round(peak_memory(accelerator.device) / 2**30, 3)
        self.steps, self.images, self.means, self.since = 0, 0, RunningMeans(), now
        return means


def epoch_line(epoch: int, epochs: int, entry: Mapping[str, float], seconds: float) -> str:
    """Format the log entry of an epoch as one line: loss, validation metric, duration."""
    validated = [f"{name.removeprefix('val.')} {entry[name]:.3f} (val)" for name in entry if name.startswith("val.")]
    return ", ".join([f"epoch {epoch} of {epochs}: loss {entry['loss']:.3f}", *validated, f"{seconds:.1f} s"])


def progress_note(means: dict[str, float]) -> str:
    """Format a reading of :class:`StepMeter` as one line: loss, speed, memory, weighted loss of each objective."""
    speed = f"{means['images_per_second']:.0f} images/s {means['memory_gib']:.1f} GiB"
    weighted = {name.removesuffix(".weighted"): value for name, value in means.items() if name.endswith(".weighted")}
    objectives = " ".join(f"{name} {value:.3f}" for name, value in weighted.items())
    # A narrow terminal cuts off the end of the line.
    return f"loss {means['loss']:.3f} {speed} {objectives}"
