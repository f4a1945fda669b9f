"""Predictions on damaged pictures as one table: columns ``corruption`` and ``severity`` beside the others."""

from collections.abc import Mapping

import pandas as pd

from auxface.evaluation.results import Severity
from auxface.evaluation.table import Predictions, TableError, text_of

CONDITION = ("corruption", "severity")


def split_conditions(predictions: Predictions, where: str = "predictions") -> dict[str, dict[Severity, Predictions]]:
    """Corruption to severity to the rows there; severities that are whole numbers are ints, others text.

    Args:
        predictions: a table with the columns :data:`CONDITION`.
        where: names the table in messages.

    Raises:
        TableError: a column is missing, or a row does not name its corruption or severity.
    """
    frame = predictions.frame
    for name in CONDITION:
        if name not in frame.columns:
            raise TableError(
                f"{where}: column '{name}' is missing; predictions on damaged pictures name corruption and severity"
            )
        if frame[name].isna().any() or (frame[name].astype(str) == "").any():
            raise TableError(f"{where}: some rows have no '{name}'; undamaged pictures belong in the main table")
    found: dict[str, dict[Severity, Predictions]] = {}
    for key, rows in frame.groupby(list(CONDITION), sort=False, observed=True):
        corruption, severity = map(text_of, key)
        part = Predictions(rows.drop(columns=list(CONDITION)).reset_index(drop=True), predictions.tasks)
        found.setdefault(corruption, {})[int(severity) if severity.isdecimal() else severity] = part
    return {name: dict(sorted(steps.items(), key=_order)) for name, steps in found.items()}


def join_conditions(conditions: Mapping[str, Mapping[Severity, Predictions]]) -> Predictions:
    """The reverse of :func:`split_conditions`.

    Raises:
        TableError: no table.
    """
    parts = [
        table.frame.assign(corruption=corruption, severity=str(severity))
        for corruption, steps in conditions.items()
        for severity, table in steps.items()
    ]
    if not parts:
        raise TableError("no predictions on damaged pictures")
    first = next(iter(next(iter(conditions.values())).values()))
    return Predictions(pd.concat(parts, ignore_index=True), first.tasks, {}, first.provenance)


def _order(item: tuple[Severity, Predictions]) -> tuple[bool, int]:
    return (isinstance(item[0], str), item[0] if isinstance(item[0], int) else 0)
