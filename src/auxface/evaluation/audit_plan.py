"""Plan an audit: compute the number of clusters that each group needs to detect a gap.

See :func:`plan_audit` for an example.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auxface.errors import InputError
from auxface.evaluation.gap_power import POWER, SMALLEST_GAP, TARGET_GAP, check_power, more_clusters, smallest_gap
from auxface.evaluation.gate import read_report
from auxface.evaluation.groups import CROSS
from auxface.evaluation.intervals import Precision
from auxface.evaluation.predictions import TableError


def plan_audit(
    report: Path | str | Mapping[str, Any], gap: float = TARGET_GAP, power: float = POWER
) -> list[dict[str, Any]]:
    """Return, for each group, the smallest detectable gap and the number of clusters to add to detect a given gap.

    Args:
        report: path of ``report.json``, path of the folder that contains it, or its parsed content.
        gap: gap to detect, as a difference of metric values (0.05 is 5 percentage points).
        power: probability that a gap of this size is significant.

    Returns:
        One entry per model, task and group, with the keys ``model``, ``task``, ``group``, ``metric``, ``smallest_gap``
        and ``levels``. ``levels`` holds ``clusters`` and ``more_clusters`` for each level. If the gap was not measured,
        the entry holds the reason under ``why``.

    Raises:
        InputError: the report cannot be read or has no groups, or ``gap`` or ``power`` is out of range.

    Example:
        >>> import auxface
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"fake": [0, 1] * 200, "p": [0.1, 0.9, 0.4, 0.3] * 100, "sex": list("FFMM") * 100})
        >>> report = auxface.audit(frame, true="fake", score="p", groups=["sex"], resamples=100).to_dict()
        >>> [(one["task"], one["group"], sorted(one["levels"])) for one in auxface.plan_audit(report)]
        [('fake', 'sex', ['F', 'M'])]
    """
    if not SMALLEST_GAP <= gap < 1:
        raise InputError(f"gap is {gap:g}; expected at least {SMALLEST_GAP} and less than 1, such as 0.05 for 5 points")
    try:
        check_power(power)
    except TableError as error:
        raise InputError(str(error)) from None
    if not isinstance(report, Mapping):
        path = Path(report)
        report = read_report(path / "report.json" if path.is_dir() else path)
    found = []
    for model, content in report.get("models", {"": report}).items():
        for task, audited in content.get("tasks", {}).items():
            for group, gaps in audited.get("gaps", {}).items():
                named = {name: one for name, one in gaps.items() if "by_chance_of_all" in one or "why" in one}
                name = next((name for name, one in named.items() if "levels" in one), None)
                entry: dict[str, Any] = {"model": model, "task": task, "group": group}
                if name is not None:
                    found.append(entry | _planned(name, named[name], gap, power))
                elif CROSS not in group:
                    why = next(
                        (one["why"] for one in named.values() if "why" in one),
                        "the report does not state the power of its gaps",
                    )
                    found.append(entry | {"why": why})
    if not found:
        raise InputError(
            "the report has no groups; audit the table with --group, or plan without a report (--value, --levels)"
        )
    return found


def _planned(name: str, found: Mapping[str, Any], gap: float, power: float) -> dict[str, Any]:
    levels = {level: Precision(one["error"], one["clusters"], one["units"]) for level, one in found["levels"].items()}
    limit = found["by_chance_of_all"]
    factor = limit / found["by_chance"] if found["by_chance"] else 1.0
    more = more_clusters(levels, gap, factor=factor, power=power)
    if (gap, power) == (TARGET_GAP, POWER):
        # The report computed these numbers before rounding, so they take precedence.
        more |= {name: one["more_clusters"] for name, one in found["levels"].items() if "more_clusters" in one}
    return {
        "metric": name.removesuffix("_difference"),
        "smallest_gap": smallest_gap([one.error for one in levels.values()], limit, power),
        "levels": {level: {"clusters": one.clusters, "more_clusters": more[level]} for level, one in levels.items()},
    }
