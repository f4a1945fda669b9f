"""Time budgets, and progress bars on standard error, so that standard output contains only results.

Example::

    with progress_bar("decode", len(paths), "images") as advance:
        for path in paths:
            advance()
"""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from auxface.errors import InputError, escape_controls

Advance = Callable[..., None]


class _Note(ProgressColumn):
    """Column for the note of a progress bar; only this column is shortened on a narrow terminal."""

    def __init__(self) -> None:
        super().__init__(Column(no_wrap=False))

    def render(self, task: Task) -> Text:
        return Text(task.fields["note"], no_wrap=True, overflow="ellipsis")


@contextmanager
def progress_bar(description: str, total: int, unit: str = "") -> Iterator[Advance]:
    """Show a progress bar while the block runs.

    On a terminal, the bar is updated continuously. Otherwise, one line is printed when the block ends. With several
    processes, only the first process shows the bar.

    Args:
        description: text at the start of the line, such as ``decode``.
        total: total number of steps; 0 if unknown.
        unit: unit of the count, such as ``images``.

    Yields:
        The function ``advance(steps=1, note=None, total=None, line=None)``, to be called after each step or after
        several steps. If the output is not a terminal, the text ``line`` is printed as a line.
    """
    console = Console(file=sys.stderr, quiet=os.environ.get("RANK", "0") != "0")
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn(unit, markup=False),
        _Note(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        task = progress.add_task(escape_controls(description), total=total or None, note="")

        def advance(steps: int = 1, note: str | None = None, total: int | None = None, line: str | None = None) -> None:
            changed = {name: value for name, value in {"note": note, "total": total}.items() if value is not None}
            progress.update(task, advance=steps, **changed)
            if line is not None and not (console.is_terminal or console.quiet):
                print(escape_controls(line), file=sys.stderr, flush=True)

        yield advance


@contextmanager
def progress_steps(description: str, unit: str = "") -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar for work that reports ``(done, total)`` and whose total is not known at the start.

    Args:
        description: text at the start of the line, such as ``decode``.
        unit: unit of the count, such as ``images``.

    Yields:
        The function ``progress(done, total)``.
    """
    with ExitStack() as opened:
        advance: Advance | None = None
        reported = 0

        def progress(done: int, total: int) -> None:
            nonlocal reported, advance
            # The bar appears with the first report, so that an earlier input error prints one line without a bar.
            advance = advance or opened.enter_context(progress_bar(description, total, unit))
            advance(done - reported, total=total)
            reported = done

        yield progress


_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def parse_budget(text: str) -> float:
    """Return the number of seconds of a time budget such as ``25m``, ``1h30m`` or ``90s``.

    Raises:
        InputError: the text has a different format.

    Example:
        >>> parse_budget("1h30m")
        5400.0
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InputError(f"--budget {text}: expected a duration such as 25m, 1h30m or 90s")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
