"""The run's logs: JSON lines, so that any program can draw the curves, and TensorBoard's own format on request."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd

from auxface.errors import InputError


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
