"""Several tables of one model as one table: parts of a split, or test sets of the cross-dataset matrix."""

from collections.abc import Mapping, Sequence

import pandas as pd

from auxface.evaluation.table import Predictions, TableError


def merge_predictions(parts: Sequence[Predictions]) -> Predictions:
    """The rows of all parts, one after the other; counts of samples left out are added.

    Raises:
        TableError: no part, or parts whose tasks, classes or thresholds differ.
    """
    if not parts:
        raise TableError("no table to merge")
    first = parts[0]
    left_out: dict[str, int] = {}
    for part in parts:
        if part.tasks != first.tasks:
            raise TableError(
                "tables of one model must have the same tasks, classes and thresholds; these differ: "
                f"{', '.join(task.name for task in first.tasks)} and {', '.join(task.name for task in part.tasks)}"
            )
        for reason, count in part.left_out.items():
            left_out[reason] = left_out.get(reason, 0) + count
    provenance = {
        name: value
        for name, value in first.provenance.items()
        if all(part.provenance.get(name) == value for part in parts)
    }
    return Predictions(pd.concat([part.frame for part in parts], ignore_index=True), first.tasks, left_out, provenance)


def cross_dataset(tables: Mapping[tuple[str, str], Predictions]) -> dict[str, Predictions]:
    """Tables by (training set, test set) as one table per training set, ready for ``audit_tables``.

    The column ``dataset`` becomes the name of the test set, by which the audit makes the columns of the matrix.

    Raises:
        TableError: tables of one training set whose tasks, classes or thresholds differ.
    """
    rows: dict[str, list[Predictions]] = {}
    for (train, test), table in tables.items():
        frame = table.frame.assign(dataset=test)
        rows.setdefault(train, []).append(
            Predictions(frame, table.tasks, table.left_out, table.provenance | {"trained_on": train})
        )
    return {train: merge_predictions(parts) for train, parts in rows.items()}
