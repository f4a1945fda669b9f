"""Fit runs into a time budget: parse the budget, predict how long a run takes, choose the next run."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from auxface.errors import InputError
from auxface.studies.grid import Run
from auxface.studies.results_file import DONE, RunRecord

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True)
class PendingRun:
    """A run that has no result yet.

    Attributes:
        run: the run.
        key: its key in ``results.jsonl``.
        remaining: fraction of the run that is still to do; below 1 for an interrupted run.
    """

    run: Run
    key: str
    remaining: float = 1.0


def parse_budget(text: str) -> float:
    """Return the seconds of a budget such as ``25m``, ``1h30m`` or ``90s``.

    Raises:
        InputError: any other format.

    Example:
        >>> parse_budget("1h30m")
        5400.0
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InputError(f"--budget {text}: write it as 25m, 1h30m or 90s")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def expected_seconds(pending: PendingRun, records: Iterable[RunRecord], machine: str) -> float | None:
    """Predict how long a run takes, from the finished runs on the same kind of machine.

    Returns:
        The median time of the runs of the same row on the same data, else the longest time of all runs, times the
        fraction that remains; None without any finished run.
    """
    run = pending.run
    finished = [record for record in records if record["status"] == DONE and record["machine"] == machine]
    same_row = [
        record["wall_seconds"] for record in finished if record["row"] == run.row and record["data"] == run.data.name
    ]
    known = median(same_row) if same_row else max((record["wall_seconds"] for record in finished), default=None)
    return None if known is None else known * pending.remaining


def next_run(
    pending: Sequence[PendingRun],
    records: Mapping[str, RunRecord],
    machine: str,
    seconds_left: float | None,
    budget: float | None = None,
) -> PendingRun | None:
    """Return the first run, in the study's order, that should end in time; interrupted runs come first.

    A run of unknown length may start. So may a run that is longer than the whole budget. When time runs out, such runs
    are interrupted, and resumed by the next call of ``study``.

    Args:
        pending: the runs without a result.
        records: the results so far, by key.
        machine: kind of this machine.
        seconds_left: time left; None: no limit.
        budget: the whole budget in seconds; None: no run may exceed ``seconds_left``.
    """
    for item in sorted(pending, key=lambda one: one.remaining == 1):
        expected = expected_seconds(item, records.values(), machine)
        if seconds_left is None or expected is None or expected <= seconds_left:
            return item
        if budget is not None and expected > budget:
            return item
    return None
