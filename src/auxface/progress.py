"""One progress bar for everything slow, on standard error, so that standard output stays for results."""

import os
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

Advance = Callable[..., None]


class _Note(ProgressColumn):
    """The note of a bar: the one column that gives way where the terminal is narrow."""

    def __init__(self) -> None:
        super().__init__(Column(no_wrap=False))

    def render(self, task: Task) -> Text:
        return Text(task.fields["note"], no_wrap=True, overflow="ellipsis")


@contextmanager
def progress_bar(description: str, total: int, unit: str = "") -> Iterator[Advance]:
    """Show a bar while the block runs; yields ``advance(steps=1, note=None, total=None)``.

    On a terminal the bar moves; elsewhere one line is printed when the block ends.
    """
    console = Console(file=sys.stderr, quiet=os.environ.get("RANK", "0") != "0")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn(unit),
        _Note(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        task = progress.add_task(description, total=total or None, note="")

        def advance(steps: int = 1, note: str | None = None, total: int | None = None) -> None:
            changed = {name: value for name, value in {"note": note, "total": total}.items() if value is not None}
            progress.update(task, advance=steps, **changed)

        yield advance


@contextmanager
def progress_steps(description: str, unit: str = "") -> Iterator[Callable[[int, int], None]]:
    """A bar for callers that report ``(done, total)`` and learn the total only as they go."""
    with ExitStack() as opened:
        advance: Advance | None = None
        seen = 0

        def progress(done: int, total: int) -> None:
            nonlocal seen, advance
            # Only now, so that what is refused before any work leaves one line and no empty bar.
            advance = advance or opened.enter_context(progress_bar(description, total, unit))
            advance(done - seen, total=total)
            seen = done

        yield progress
