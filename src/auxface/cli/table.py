"""Figures for a terminal: a model per line, a metric per column, each with its interval."""

from collections.abc import Iterator
from typing import Any

from auxface.evaluation import Audit

_SHOWN = {
    "binary": ("auc", "accuracy", "balanced_accuracy"),
    "class": ("accuracy", "balanced_accuracy", "macro_f1"),
    "multilabel": ("accuracy", "balanced_accuracy", "average_precision"),
}


def audit_lines(audit: Audit) -> Iterator[str]:
    """One small table per task: overall figures with 95% intervals, then the worst group and the gap."""
    raw = audit.to_dict()
    models: dict[str, Any] = raw["models"] if "models" in raw else {"": raw}
    tasks = list(next(iter(models.values()))["tasks"])
    for task in tasks:
        shown = next(iter(models.values()))["tasks"][task]["overall"]
        names = list(shown)[:4]
        width = max([len(name) for name in models] + [5])
        yield f"{task}"
        yield "  " + " ".join([" " * width] + [f"{name.replace('_', ' '):>22}" for name in names])
        for model, content in models.items():
            cells = [_cell(content["tasks"][task]["overall"].get(name)) for name in names]
            yield "  " + " ".join([f"{model:<{width}}"] + [f"{cell:>22}" for cell in cells])


def _cell(figure: dict[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "-"
    return f"{figure['value']:.3f} ({figure['low']:.3f}-{figure['high']:.3f})"
