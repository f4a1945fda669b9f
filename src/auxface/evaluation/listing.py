"""The numbers behind every figure, as plain tables: what goes into the CSV files."""

from collections.abc import Iterable, Mapping

import pandas as pd

from auxface.evaluation.audit import Audit, TaskAudit
from auxface.evaluation.bootstrap import Estimate


def tables_of(audit: Audit, curves: Mapping[str, pd.DataFrame] | None = None) -> dict[str, pd.DataFrame]:
    """File name (without suffix) to table: models, groups, gaps, robustness, attributes, confusion, comparisons, training."""
    rows: dict[str, list[dict[str, object]]] = {}
    for model, audited in audit.models.items():
        for task, found in audited.tasks.items():
            where: dict[str, object] = {"model": model, "task": task}
            _add(rows, found, where)
            for attribute, alone in found.attributes.items():
                for metric, estimate in alone.overall.items():
                    rows.setdefault("attributes", []).append(
                        where | {"attribute": attribute, "metric": metric} | _flat(estimate)
                    )
            if found.confusion is not None:
                for true, counts in zip(found.task.classes, found.confusion):
                    for predicted, count in zip(found.task.classes, counts):
                        facts: dict[str, object] = {"true": true, "predicted": predicted, "count": int(count)}
                        rows.setdefault("confusion", []).append(where | facts)
    for item in audit.comparisons:
        facts = {"task": item.task, "metric": item.metric, "first": item.first, "second": item.second}
        rows.setdefault("comparisons", []).append(facts | _flat(item.difference) | {"p": item.p, "p_holm": item.p_holm})
    tables = {name: pd.DataFrame(found) for name, found in rows.items()}
    if curves:
        tables["training"] = pd.concat([frame.assign(model=name) for name, frame in curves.items()], ignore_index=True)
    return tables


def _add(rows: dict[str, list[dict[str, object]]], found: TaskAudit, where: dict[str, object]) -> None:
    for metric, estimate in found.overall.items():
        rows.setdefault("models", []).append(where | {"metric": metric} | _flat(estimate))
    for group, levels in found.groups.items():
        for level, estimates in levels.items():
            for metric, estimate in estimates.items():
                facts: dict[str, object] = {"group": group, "level": level, "metric": metric}
                rows.setdefault("groups", []).append(where | facts | _flat(estimate))
    for group, estimates in found.gaps.items():
        for gap, estimate in estimates.items():
            rows.setdefault("gaps", []).append(where | {"group": group, "gap": gap} | _flat(estimate))
    for corruption, severity, estimates in _steps(found):
        for metric, estimate in estimates.items():
            facts = {"corruption": corruption, "severity": severity, "metric": metric}
            rows.setdefault("robustness", []).append(where | facts | _flat(estimate))


def _steps(found: TaskAudit) -> Iterable[tuple[str, int, Mapping[str, Estimate]]]:
    for corruption, steps in found.robustness.items():
        for severity, estimates in sorted(steps.items()):
            yield corruption, severity, estimates


def _flat(estimate: Estimate) -> dict[str, object]:
    facts = estimate.to_dict()
    return facts | {"why": estimate.why or ""}
