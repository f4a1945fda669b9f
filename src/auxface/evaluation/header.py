"""The tasks of a predictions table: from its JSON header, or inferred from the names of its columns.

>>> from pathlib import Path
>>> header = parse_header(b'{"tasks": {"forged": {"kind": "binary", "classes": ["real", "forged"]}}}', Path("t.json"))
>>> parse_tasks(header, Path("t.json"))[0].classes
('real', 'forged')
"""

import json
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from auxface.evaluation.predictions import ASSUMED, LevelThresholds, Predictions, ScoredTask, TableError, text_of
from auxface.task import Kind

VERSION = 1
_KINDS = get_args(Kind)
# A threshold may be the next number above 1, see choose_threshold.
_MOST_THRESHOLD = 1.001


def parse_header(text: bytes, where: Path) -> dict[str, Any]:
    """Return the header as a dictionary.

    Raises:
        TableError: not a JSON object, or of an unknown version.
    """
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise TableError(f"{where}: the header 'auxface' is not JSON") from None
    if not isinstance(header, dict):
        raise TableError(f"{where}: the header 'auxface' must be a JSON object")
    if header.get("version", VERSION) != VERSION:
        raise TableError(
            f"{where}: header version {header['version']} is not known; this program reads version {VERSION}"
        )
    return header


def parse_tasks(header: dict[str, Any], where: Path) -> tuple[ScoredTask, ...]:
    """Return the tasks of a header.

    Raises:
        TableError: an entry that is not valid.
    """
    entries = header["tasks"]
    if not isinstance(entries, dict):
        raise TableError(f"{where}: 'tasks' in the header must be an object that maps task names to tasks")
    return tuple(_parse_task(str(name), entry, where) for name, entry in entries.items())


def parse_origin(header: dict[str, Any], where: Path) -> tuple[dict[str, int], dict[str, Any]]:
    """Return the number of excluded samples by reason, and the provenance.

    Raises:
        TableError: an entry that is not valid.
    """
    try:
        left_out = {str(reason): int(count) for reason, count in (header.get("left_out") or {}).items()}
        provenance = dict(header.get("provenance") or {})
    except (AttributeError, OverflowError, TypeError, ValueError):
        raise TableError(
            f"{where}: 'left_out' and 'provenance' in the header must be objects; left_out maps reasons to counts"
        ) from None
    if any(count < 0 for count in left_out.values()):
        raise TableError(f"{where}: a count in 'left_out' of the header is below zero")
    return left_out, provenance


def dump_header(predictions: Predictions) -> str:
    """Return the header of a table as JSON."""
    tasks = {
        task.name: {
            "kind": task.kind,
            "classes": list(task.classes),
            "thresholds": dict(task.thresholds),
            "threshold_rule": task.threshold_rule,
        }
        | ({} if task.abstain is None else {"abstain": list(task.abstain)})
        | ({} if task.level_thresholds is None else {"level_thresholds": task.level_thresholds.to_dict()})
        for task in predictions.tasks
    }
    left_out, provenance = predictions.left_out, predictions.provenance
    header = {"version": VERSION, "tasks": tasks, "left_out": left_out, "provenance": provenance}
    return json.dumps(header, sort_keys=True)


def _parse_task(name: str, entry: Any, where: Path) -> ScoredTask:
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if kind not in _KINDS:
        raise TableError(f"{where}: task '{name}' in the header has kind {kind!r}; use one of {', '.join(_KINDS)}")
    given = entry.get("classes") or ()
    if not isinstance(given, list | tuple):
        raise TableError(f"{where}: 'classes' of task '{name}' in the header must be a list of names")
    classes = tuple(map(str, given))
    wrong_count = (kind == "binary" and len(classes) != 2) or (kind in ("class", "multilabel") and not classes)
    if len(set(classes)) != len(classes) or wrong_count:
        raise TableError(
            f"{where}: task '{name}' ({kind}) in the header has classes {', '.join(classes) or 'none'}; "
            "expected distinct names, two of them for a binary task"
        )
    try:
        thresholds = {str(key): float(value) for key, value in (entry.get("thresholds") or {}).items()}
        abstain = None if entry.get("abstain") is None else tuple(map(float, entry["abstain"]))
    except (AttributeError, TypeError, ValueError):
        raise TableError(
            f"{where}: 'thresholds' and 'abstain' of task '{name}' in the header must be numbers"
        ) from None
    _check_range(name, [*thresholds.values(), *(abstain or ())], where)
    if abstain is not None and (len(abstain) != 2 or abstain[0] > abstain[1]):
        raise TableError(f"{where}: 'abstain' of task '{name}' in the header must be [low, high] with low <= high")
    rule = entry.get("threshold_rule")
    by_level = _parse_level_thresholds(name, entry.get("level_thresholds"), where)
    return ScoredTask(name, kind, classes, thresholds, None if rule is None else str(rule), abstain, by_level)  # pyright: ignore[reportArgumentType]


def _parse_level_thresholds(name: str, entry: Any, where: Path) -> LevelThresholds | None:
    if entry is None:
        return None
    try:
        thresholds = {
            str(positive): {str(level): float(value) for level, value in levels.items()}
            for positive, levels in entry["thresholds"].items()
        }
        found = LevelThresholds(str(entry["group"]), thresholds)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise TableError(
            f"{where}: 'level_thresholds' of task '{name}' in the header must hold 'group', and 'thresholds' that map "
            "a class and a level to a number"
        ) from None
    _check_range(name, [value for levels in found.thresholds.values() for value in levels.values()], where)
    return found


def _check_range(name: str, thresholds: list[float], where: Path) -> None:
    for value in thresholds:
        if not 0 <= value <= _MOST_THRESHOLD:
            raise TableError(f"{where}: a threshold of task '{name}' in the header is {value:g}, outside [0, 1]")


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
