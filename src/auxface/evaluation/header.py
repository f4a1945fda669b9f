"""The JSON header of a predictions table: tasks with thresholds, samples left out, provenance."""

import json
from pathlib import Path
from typing import Any

from auxface.evaluation.table import LevelThresholds, Predictions, TableError, Task

VERSION = 1
_KINDS = ("class", "binary", "multilabel", "ordinal")


def parse_header(text: bytes, where: Path) -> dict[str, Any]:
    """The header as a dictionary.

    Raises:
        TableError: not a JSON object, or of a version that is not known.
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


def tasks_of(header: dict[str, Any], where: Path) -> tuple[Task, ...]:
    """The tasks of a header.

    Raises:
        TableError: an entry that is not what it should be.
    """
    entries = header["tasks"]
    if not isinstance(entries, dict):
        raise TableError(f"{where}: 'tasks' in the header must be an object, a task by name")
    return tuple(_task(str(name), entry, where) for name, entry in entries.items())


def account_of(header: dict[str, Any], where: Path) -> tuple[dict[str, int], dict[str, Any]]:
    """Samples left out by reason, and provenance.

    Raises:
        TableError: an entry that is not what it should be.
    """
    try:
        left_out = {str(reason): int(count) for reason, count in (header.get("left_out") or {}).items()}
        provenance = dict(header.get("provenance") or {})
    except (AttributeError, OverflowError, TypeError, ValueError):
        raise TableError(
            f"{where}: left_out and provenance in the header must be objects of counts and facts"
        ) from None
    if any(count < 0 for count in left_out.values()):
        raise TableError(f"{where}: a count in left_out is below zero")
    return left_out, provenance


def header_of(predictions: Predictions) -> str:
    """The header of a table as JSON."""
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


def _task(name: str, entry: Any, where: Path) -> Task:
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if kind not in _KINDS:
        raise TableError(f"{where}: task '{name}' in the header has kind {kind!r}; give one of {', '.join(_KINDS)}")
    given = entry.get("classes") or ()
    if not isinstance(given, list | tuple):
        raise TableError(f"{where}: the classes of task '{name}' in the header must be a list of names")
    classes = tuple(map(str, given))
    wrong_count = (kind == "binary" and len(classes) != 2) or (kind in ("class", "multilabel") and not classes)
    if len(set(classes)) != len(classes) or wrong_count:
        raise TableError(f"{where}: task '{name}' ({kind}) in the header has classes {', '.join(classes) or 'none'}")
    try:
        thresholds = {str(key): float(value) for key, value in (entry.get("thresholds") or {}).items()}
        abstain = None if entry.get("abstain") is None else tuple(map(float, entry["abstain"]))
    except (AttributeError, TypeError, ValueError):
        raise TableError(f"{where}: thresholds and abstain of task '{name}' in the header must be numbers") from None
    if not all(0 <= value <= 1.001 for value in (*thresholds.values(), *(abstain or ()))):
        raise TableError(f"{where}: a threshold of task '{name}' in the header lies outside [0, 1]")
    if abstain is not None and (len(abstain) != 2 or abstain[0] > abstain[1]):
        raise TableError(f"{where}: abstain of task '{name}' in the header must be [low, high]")
    rule = entry.get("threshold_rule")
    by_level = _level_thresholds(name, entry.get("level_thresholds"), where)
    return Task(name, kind, classes, thresholds, None if rule is None else str(rule), abstain, by_level)  # pyright: ignore[reportArgumentType]


def _level_thresholds(name: str, entry: Any, where: Path) -> LevelThresholds | None:
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
            f"{where}: level_thresholds of task '{name}' in the header must be a group and, by class and level, numbers"
        ) from None
    if not all(0 <= value <= 1.001 for levels in found.thresholds.values() for value in levels.values()):
        raise TableError(f"{where}: a threshold of task '{name}' in the header lies outside [0, 1]")
    return found
