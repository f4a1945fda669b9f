"""What an audit found, for the model card: figures with intervals, groups, gaps."""

from collections.abc import Mapping
from typing import Any

_SHOWN = 4
_GAPS = 4


def measured_lines(report: Mapping[str, Any]) -> list[str]:
    """Markdown of a ``report.json`` of one model; empty for one that is none.

    Args:
        report: as :mod:`auxface.evaluation` writes it; of a side-by-side report nothing is taken, since it does not say
            which of its models this is.
    """
    tasks = report.get("tasks")
    if not isinstance(tasks, Mapping) or not tasks:
        return []
    lines = ["## Measured", "", "Value with its 95% interval, and the number of samples.", ""]
    for task, content in tasks.items():
        figures = [(name, one) for name, one in content.get("overall", {}).items() if one.get("value") is not None]
        lines += [f"| {task} | value | samples |", "|---|---|---|"]
        lines += [f"| {_words(name)} | {_figure(one)} | {one.get('n', '')} |" for name, one in figures[:_SHOWN]]
        for group, gaps in content.get("gaps", {}).items():
            shown = [(name, one) for name, one in gaps.items() if one.get("value") is not None][:_GAPS]
            lines += [
                f"| {_words(name)} by {_words(group)} | {_figure(one)} | {one.get('n', '')} |" for name, one in shown
            ]
        levels = {group: list(found) for group, found in content.get("groups", {}).items() if found}
        lines += [""]
        if levels:
            named = "; ".join(f"{_words(group)} ({', '.join(map(str, found))})" for group, found in levels.items())
            lines += [f"Groups that were compared: {named}.", ""]
    left_out = {name: count for name, count in (report.get("left_out") or {}).items() if count}
    if left_out:
        lines += ["Left out: " + ", ".join(f"{_words(name)} {count}" for name, count in left_out.items()) + ".", ""]
    return lines


def _figure(one: Mapping[str, Any]) -> str:
    if one.get("low") is None or one.get("high") is None:
        return f"{one['value']:.3f}"
    return f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"


def _words(name: object) -> str:
    return str(name).replace("_", " ")
