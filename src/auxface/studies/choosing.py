"""Which run comes next, and whether it fits the time that is left."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from auxface.errors import InputError
from auxface.studies.grid import Run
from auxface.studies.results import DONE, Line

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True)
class Waiting:
    """A run that is not done yet.

    Attributes:
        run: the run.
        key: its key.
        left: share of its training that is still to do; less than 1 where it was interrupted.
    """

    run: Run
    key: str
    left: float = 1.0


def seconds_of(budget: str) -> float:
    """``25m``, ``1h30m`` or ``90s`` in seconds.

    Raises:
        InputError: not written so.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", budget)
    if not parts or "".join(number + unit for number, unit in parts) != budget:
        raise InputError(f"--budget {budget}: write it as 25m, 1h30m or 90s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def expected_seconds(waiting: Waiting, lines: Iterable[Line], machine: str) -> float | None:
    """How long a run will take on this kind of machine, from those that ended here; None where nothing is known.

    The median of the same row on the same data, else the longest of all.
    """
    run = waiting.run
    here = [line for line in lines if line["status"] == DONE and line["machine"] == machine]
    alike = [line["wall_seconds"] for line in here if line["row"] == run.row and line["data"] == run.data.name]
    every = [line["wall_seconds"] for line in here]
    known = median(alike) if alike else max(every, default=None)
    return None if known is None else known * waiting.left


def next_run(
    waiting: Sequence[Waiting],
    lines: Mapping[str, Line],
    machine: str,
    seconds_left: float | None,
    budget: float | None = None,
) -> Waiting | None:
    """The first run, in the study's order, that is expected to fit; a run begun before comes first.

    A run of which nothing is known may begin, and one that no such budget would hold whole; where time runs out they
    are interrupted, and gone on with next time.
    """
    for item in sorted(waiting, key=lambda one: one.left == 1):
        expected = expected_seconds(item, lines.values(), machine)
        if seconds_left is None or expected is None or expected <= seconds_left:
            return item
        if budget is not None and expected > budget:
            return item
    return None
