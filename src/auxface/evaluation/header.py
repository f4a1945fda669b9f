"""The JSON header of a predictions table: its tasks, thresholds, excluded samples and provenance.

>>> from pathlib import Path
>>> header = parse_header(b'{"tasks": {"forged": {"kind": "binary", "classes": ["real", "forged"]}}}', Path("t.json"))
>>> parse_tasks(header, Path("t.json"))[0].classes
('real', 'forged')
"""

import json
from pathlib import Path
from typing import Any, get_args

from auxface.evaluation.predictions import LevelThresholds, Predictions, ScoredTask, TableError
from auxface.task import Kind

VERSION = 1
_KINDS = get_args(Kind)
# A threshold may be the next floating-point number above 1; see choose_threshold.
_MOST_THRESHOLD = 1.001


def parse_header(text: bytes, where: Path) -> dict[str, Any]:
    """Return the header as a dictionary.

    Raises:
        TableError: the text is not a JSON object, or its version is unknown.
    """
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise TableError(f"{where}: the header 'auxface' is not JSON") from None
    if not isinstance(header, dict):
        raise TableError(f"{where}: the header 'auxface' must be a JSON object")
    if header.get("version", VERSION) != VERSION:
        raise TableError(f"{where}: header version {header['version']} is not supported; expected version {VERSION}")
    return header


def parse_tasks(header: dict[str, Any], where: Path) -> tuple[ScoredTask, ...]:
    """Return the tasks of a header.

    Raises:
        TableError: an entry is invalid.
    """
    entries = header["tasks"]
    if not isinstance(entries, dict):
        raise TableError(f"{where}: 'tasks' in the header must be an object that maps task names to tasks")
    return tuple(_parse_task(str(name), entry, where) for name, entry in entries.items())


def parse_origin(header: dict[str, Any], where: Path) -> tuple[dict[str, int], dict[str, Any]]:
    """Return the numbers of excluded samples by reason, and the provenance.

    Raises:
        TableError: an entry is invalid.
    """
    try:
        left_out = {str(reason): int(count) for reason, count in (header.get("left_out") or {}).items()}
        provenance = dict(header.get("provenance") or {})
    except (AttributeError, OverflowError, TypeError, ValueError):
        raise TableError(
            f"{where}: 'left_out' and 'provenance' in the header must be JSON objects; left_out maps reasons to counts"
        ) from None
    if any(count < 0 for count in left_out.values()):
        raise TableError(f"{where}: a count in 'left_out' of the header is negative")
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
