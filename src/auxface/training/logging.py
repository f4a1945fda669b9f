"""Sums of what steps log, each divided by the steps that logged it: a scheme does not run everything in every step.

The run's logs: JSON lines, so that any program can draw the curves, and TensorBoard's own format on request.

What a run says while it goes: losses, images per second, time left, memory.
"""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
from accelerate import Accelerator
from torch import Tensor

from auxface.device import peak_memory
from auxface.errors import InputError
from auxface.training.distributed import agreed_mean


@dataclass
class Sums:
    """Running sums of scalars, on the device.

    Attributes:
        totals: float32 scalars by name.
        steps: by name, how many steps are in the total.
    """

    totals: dict[str, Tensor] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)

    def add(self, logs: dict[str, Tensor]) -> None:
        """Add what a step logged."""
        for name, value in logs.items():
            self.totals[name] = self.totals[name] + value.float() if name in self.totals else value.float()
            self.steps[name] = self.steps.get(name, 0) + 1

    def means(self, accelerator: Accelerator) -> dict[str, float]:
        """The mean of each over the steps that logged it, and over the processes."""
        return agreed_mean(accelerator, {name: total / self.steps[name] for name, total in self.totals.items()})


class Journal:
    """Appends JSON lines to a file; each line is flushed, so a killed run keeps what it said.

    Lines beyond ``after_step`` are dropped first: a resumed run will say them again.

    Args:
        path: the file.
        after_step: the last step whose line is kept, of a file that exists.
    """

    def __init__(self, path: Path, after_step: int = 0) -> None:
        self.path = path
        kept = [line for line in _lines(path) if json.loads(line).get("step", 0) <= after_step]
        self.file = path.open("w", encoding="utf-8")
        self.file.writelines(f"{line}\n" for line in kept)
        self.file.flush()

    def write(self, **entry: Any) -> None:
        """Append one entry."""
        self.file.write(json.dumps(entry) + "\n")
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class Curves:
    """TensorBoard's event files in a folder.

    Args:
        folder: where they are written.
        step: points from this step on are said again by a resumed run.

    Raises:
        InputError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise InputError(
                "train.tensorboard needs TensorBoard; install it with pip install 'auxface[tensorboard]'"
            ) from None
        self.writer = SummaryWriter(folder, purge_step=step or None)

    def write(self, step: int, values: dict[str, float]) -> None:
        """One point of each curve."""
        for name, value in values.items():
            self.writer.add_scalar(name.replace(".", "/"), value, step)

    def close(self) -> None:
        """Write what is still held back."""
        self.writer.close()


class Logs:
    """All that a run writes down: a line per epoch, a line every few steps, curves where the recipe asks for them.

    Args:
        folder: of the run.
        step: steps done so far.
        tensorboard: write curves too.
        silent: write nothing, on processes other than the first.
    """

    def __init__(self, folder: Path, step: int, *, tensorboard: bool, silent: bool) -> None:
        self.epochs = None if silent else Journal(folder / "log.jsonl", step)
        self.steps = None if silent else Journal(folder / "steps.jsonl", step)
        self.curves = Curves(folder / "tensorboard", step) if tensorboard and not silent else None

    def __enter__(self) -> "Logs":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for log in (self.epochs, self.steps, self.curves):
            if log is not None:
                log.close()

    def step(self, step: int, **values: float) -> None:
        """What the last few steps came to."""
        if self.steps is not None:
            self.steps.write(step=step, **values)
        if self.curves is not None:
            self.curves.write(step, values)

    def epoch(self, epoch: int, step: int, **values: float) -> None:
        """What an epoch came to."""
        if self.epochs is not None:
            self.epochs.write(epoch=epoch, step=step, **values)
        if self.curves is not None:
            self.curves.write(step, {f"epoch.{name}": value for name, value in values.items()})


def read_journal(path: Path) -> pd.DataFrame:
    """All entries as a table, a row per entry; columns that an entry lacks are empty."""
    return pd.DataFrame([json.loads(line) for line in _lines(path)])


def _lines(path: Path) -> list[str]:
    """The whole lines of a file; a last one that a kill cut short is left out."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return [line for line in text[: text.rfind("\n") + 1].splitlines() if line.strip()]


@dataclass
class Recent:
    """Sums on the device over the last few steps, read all at once when they are told.

    Attributes:
        steps: summed since the last reading.
        images: likewise, over all processes.
        sums: of what the steps logged.
        since: time of the last reading.
    """

    steps: int = 0
    images: int = 0
    sums: Sums = field(default_factory=Sums)
    since: float = field(default_factory=time.perf_counter)

    def add(self, logs: dict[str, Tensor], images: int) -> None:
        """Add a step."""
        self.steps += 1
        self.images += images
        self.sums.add(logs)

    def read(self, accelerator: Accelerator) -> dict[str, float]:
        """Means over steps and processes, with ``images_per_second`` and ``memory_gib``; begins anew."""
        means = self.sums.means(accelerator)
        now = time.perf_counter()
        means["images_per_second"] = round(self.images / (now - self.since), 2)
        means["memory_gib"] = round(peak_memory(accelerator.device) / 2**30, 3)
        self.steps, self.images, self.sums, self.since = 0, 0, Sums(), now
        return means


def live_line(means: dict[str, float]) -> str:
    """The reading in one line: the loss, each objective's, speed and memory."""
    hidden = ("images_per_second", "memory_gib")
    speed = f"{means['images_per_second']:.0f} images/s {means['memory_gib']:.1f} GiB"
    parts = " ".join(
        f"{name.rpartition('.')[2]} {value:.3f}" for name, value in means.items() if name not in (*hidden, "loss")
    )
    # A narrow terminal cuts the end off.
    return f"loss {means['loss']:.3f} {speed} {parts}"
