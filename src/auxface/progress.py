"""One progress bar for everything slow, on standard error, so that standard output stays for results."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Advance = Callable[..., None]


@contextmanager
def progress_bar(description: str, total: int, unit: str = "") -> Iterator[Advance]:
    """Show a bar while the block runs; yields ``advance(steps=1, note="")``.

    On a terminal the bar moves; elsewhere one line is printed when the block ends.
    """
    console = Console(file=sys.stderr)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        task = progress.add_task(description, total=total, note="")

        def advance(steps: int = 1, note: str | None = None) -> None:
            if note is None:
                progress.update(task, advance=steps)
            else:
                progress.update(task, advance=steps, note=note)

        yield advance
