"""The tasks of a table without a header, inferred from the names of its columns."""

import pandas as pd

from auxface.evaluation.predictions import ASSUMED, ScoredTask, TableError, text_of


def infer_tasks(frame: pd.DataFrame, where: str = "predictions") -> tuple[ScoredTask, ...]:
    """Return the tasks that the columns ``true.*`` and ``score.*`` describe; thresholds are 0.5 and marked as assumed.

    ``true.T`` with one ``score.T.P`` is ``binary`` with positive class P. With several scores it is a ``class`` task,
    or ``ordinal`` if the classes are numbers and the truth holds others. ``true.T.A`` with ``score.T.A`` for every A is
    ``multilabel``. ``true.T`` with ``predicted.T`` is ``ordinal``.

    Raises:
        TableError: a truth without scores, or no truth at all.

    >>> infer_tasks(pd.DataFrame({"true.a": [0, 1], "score.a.yes": [0.2, 0.9]}))[0].kind
    'binary'
    """
    truths = [str(name).removeprefix("true.") for name in frame.columns if str(name).startswith("true.")]
    scores = [str(name).removeprefix("score.") for name in frame.columns if str(name).startswith("score.")]
    if not truths:
        raise TableError(f"{where}: no column true.TASK; a table needs columns true.TASK and score.TASK.CLASS")
    tasks: list[ScoredTask] = []
    attributes: dict[str, list[str]] = {}
    for truth in truths:
        own = [score.removeprefix(f"{truth}.") for score in scores if _owner(score, truths) == truth]
        if f"predicted.{truth}" in frame.columns:
            tasks.append(ScoredTask(truth, "ordinal"))
        elif own:
            tasks.append(_single(truth, own, frame[f"true.{truth}"]))
        elif truth in scores and "." in truth:
            name, attribute = truth.split(".", 1)
            attributes.setdefault(name, []).append(attribute)
        else:
            raise TableError(f"{where}: column 'true.{truth}' has no scores; add columns score.{truth}.CLASS in [0, 1]")
    for name, found in attributes.items():
        tasks.append(ScoredTask(name, "multilabel", tuple(found), dict.fromkeys(found, 0.5), ASSUMED))
    return tuple(tasks)


def _owner(score: str, truths: list[str]) -> str:
    """Return the truth that a score belongs to: the longest that it begins with, because names may hold dots."""
    return max((truth for truth in truths if score.startswith(f"{truth}.")), key=len, default="")


def _single(name: str, classes: list[str], truth: pd.Series) -> ScoredTask:
    if len(classes) == 1:
        return ScoredTask(name, "binary", (f"not {classes[0]}", classes[0]), {classes[0]: 0.5}, ASSUMED)
    numbers = pd.to_numeric(pd.Series(classes), errors="coerce").notna().all()
    others = set(map(text_of, truth.dropna().unique())) - set(classes)
    if numbers and pd.api.types.is_numeric_dtype(truth) and others:
        return ScoredTask(name, "ordinal", tuple(classes))
    return ScoredTask(name, "class", tuple(classes))
