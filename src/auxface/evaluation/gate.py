"""The gate of an audit: conditions on values of ``report.json`` under which a build or a release fails.

>>> report = {"tasks": {"forged": {"overall": {"auc": {"value": 0.91, "low": 0.89}}}}}
>>> failed_conditions(report, [parse_condition("tasks.forged.overall.auc.low < 0.9")])
['tasks.forged.overall.auc.low is 0.89, which is < 0.9']
"""

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from auxface.errors import InputError
from auxface.plugins import nearest

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_CONDITION = re.compile(r"^\s*(?P<path>.+?)\s*(?P<sign>>=|<=|==|!=|>|<)\s*(?P<right>[^<>=!]+?)\s*$")
_AGAINST = re.compile(r"^against(?:\s*(?P<sign>[+-])\s*(?P<number>\S+))?$")
_EXAMPLE = '"tasks.forged.gaps.sex.balanced_accuracy_difference.low > 0.05"'


@dataclass(frozen=True)
class Condition:
    """A condition under which the gate fails: it compares a value of the report with a number.

    Attributes:
        path: keys that lead to a value of ``report.json``, separated by dots.
        sign: comparison operator, one of ``>``, ``>=``, ``<``, ``<=``, ``==``, ``!=``.
        number: number on the right-hand side, or the number added to the value of the older report.
        against: whether the right-hand side is the value at the same path in the older report, plus ``number``.
    """

    path: str
    sign: str
    number: float
    against: bool = False

    @property
    def right(self) -> str:
        """The right-hand side of the comparison as text."""
        if not self.against:
            return f"{self.number:g}"
        return "against" + (f" {'+' if self.number > 0 else '-'} {abs(self.number):g}" if self.number else "")


def parse_condition(text: str) -> Condition:
    """Parse a condition such as ``tasks.forged.overall.auc.value < against - 0.01``.

    Raises:
        InputError: the text does not have this form.
    """
    found = _CONDITION.match(text)
    against = _AGAINST.match(found["right"]) if found else None
    try:
        if found is None:
            raise ValueError
        if against is not None:
            number = float(against["number"] or 0) * (-1 if against["sign"] == "-" else 1)
            return Condition(found["path"], found["sign"], number, against=True)
        return Condition(found["path"], found["sign"], float(found["right"]))
    except ValueError:
        raise InputError(
            f"--fail-if '{text}' is not a condition; expected PATH, an operator such as >, and a number or "
            f"'against - 0.01'; example: {_EXAMPLE}"
        ) from None


def read_conditions(given: Sequence[str]) -> list[Condition]:
    """Parse command-line arguments: conditions, or YAML files that list conditions under ``fail_if``.

    Raises:
        InputError: a file cannot be read, or a condition does not have the required form.
    """
    conditions: list[Condition] = []
    for text in given:
        if not text.lower().endswith((".yaml", ".yml")):
            conditions.append(parse_condition(text))
            continue
        try:
            content = yaml.safe_load(Path(text).read_text())
        except (OSError, UnicodeError, yaml.YAMLError) as error:
            raise InputError(f"{text}: cannot be read as YAML ({' '.join(str(error).split())[:150]})") from None
        listed = content.get("fail_if") if isinstance(content, dict) else content
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise InputError(f"{text}: expected a list of conditions under the key fail_if, such as - {_EXAMPLE}")
        conditions += map(parse_condition, listed)
    return conditions


def read_report(path: Path) -> dict[str, Any]:
    """Return an older ``report.json``.

    Raises:
        InputError: the file cannot be read as a report.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected the report.json of an earlier audit") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise InputError(f"{path}: not JSON; expected the report.json of an earlier audit") from None
    if not isinstance(report, dict) or not {"tasks", "models"} & set(report):
        raise InputError(f"{path}: expected the report.json of an audit, with 'tasks' or 'models'")
    return report


def require_numbers(conditions: Sequence[Condition]) -> None:
    """Check that no condition refers to an older report.

    Raises:
        InputError: the right-hand side of a condition contains ``against``.
    """
    for one in conditions:
        if one.against:
            raise InputError(f"--fail-if '{one.path} {one.sign} {one.right}' needs --against REPORT.json")


def failed_conditions(
    report: Mapping[str, Any], conditions: Sequence[Condition], against: Mapping[str, Any] | None = None
) -> list[str]:
    """Return a sentence for each condition under which the gate fails; for a missing value, it states the reason.

    Args:
        report: content of ``report.json``.
        conditions: conditions to check.
        against: content of an older ``report.json``; required if a condition refers to it.

    Raises:
        InputError: a path does not exist in the report, or its value is not a number.
    """
    if against is None:
        require_numbers(conditions)
    sentences = []
    for one in conditions:
        value, why = _value(report, one.path, "the report")
        if value is None:
            sentences.append(f"{one.path} is missing: {why}")
            continue
        right = one.number
        if one.against:
            assert against is not None
            older, why = _value(against, one.path, "the older report")
            if older is None:
                sentences.append(f"{one.path} is missing in the older report: {why}")
                continue
            right += older
        if _OPERATORS[one.sign](value, right):
            shown = f"{one.right} = {right:.6g}" if one.against else one.right
            sentences.append(f"{one.path} is {value:.6g}, which is {one.sign} {shown}")
    return sentences


def _value(report: Mapping[str, Any], path: str, where: str) -> tuple[float | None, str]:
    """Return the number at a path (None if it is missing) and the reason why it is missing."""
    at: Any = report
    parent: Any = report
    rest = path
    while rest:
        if not isinstance(at, Mapping):
            raise InputError(
                f"{where} has nothing below '{path[: -len(rest) - 1]}', which is a value; shorten '{path}'"
            )
        if set(at) == {"why"}:
            return None, str(at["why"])
        # Keys may contain dots, such as tpr_at_fpr_0.01, so the longest matching key is used.
        fits = [key for key in at if rest == key or rest.startswith(f"{key}.")]
        if not fits:
            key, known = rest.split(".")[0], list(map(str, at))
            below = path[: -len(rest)].rstrip(".")
            raise InputError(
                f"--fail-if: {where} has no key '{key}'{f' below {below!r}' if below else ''}{nearest(key, known)}; "
                f"expected one of {', '.join(known[:15])}"
            )
        key = max(fits, key=len)
        parent, at, rest = at, at[key], rest[len(key) + 1 :]
    if at is None:
        return None, str(parent.get("why") or "it was not measured")
    if isinstance(at, Mapping) and "value" in at:
        raise InputError(f"'{path}' is a metric, not a number; append .value, .low or .high")
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise InputError(f"'{path}' is not a number; name a value, such as {_EXAMPLE}")
    return float(at), ""
