"""Convert the texts in a table to numbers, and recognize texts that stand for a missing value.

>>> to_numbers(pd.Series(["0,5", "50%", "NA"])).tolist()
[0.5, 0.5, nan]
>>> without_missing(pd.Series(["real", "fake", "?"]), "label", known=())[1]
["label: 1 row with the label '?' is treated as unlabeled."]
"""

from collections.abc import Collection

import numpy as np
import pandas as pd

# Spellings of a missing value, in lower case. A class can be called "none", so "none" is missing among numbers only.
_CODES = {"", "?", "-", "--", ".", "nan", "na", "n/a", "#n/a", "#na", "<na>", "null", "nil"}
_WORDS = {"missing", "unknown", "undefined", "unlabeled", "unlabelled", "not labeled", "not stated"}
_MISSING_NUMBERS = _CODES | _WORDS | {"none"}


def is_missing_text(value: object) -> bool:
    """Return whether a value is a text that stands for a missing label, such as ``?``, ``NA`` or ``unknown``."""
    return isinstance(value, str) and value.strip().lower() in _CODES | _WORDS


def without_codes(decisions: pd.Series) -> pd.Series:
    """Return decisions in which codes such as ``?`` and ``NA`` are missing values; words such as "unknown" are kept."""
    if pd.api.types.is_numeric_dtype(decisions):
        return decisions
    missing = decisions.map(lambda value: isinstance(value, str) and value.strip().lower() in _CODES).astype(bool)
    return decisions.astype(object).where(~missing, np.nan) if missing.any() else decisions


def without_missing(labels: pd.Series, name: str, known: Collection[str]) -> tuple[pd.Series, list[str]]:
    """Return labels in which texts such as ``?`` and ``NA`` are missing values, and a note that counts them.

    The label -1 is missing if all other labels are 0 and 1. Without two other labels, all labels are kept.

    Args:
        labels: column of true labels.
        name: name of the task, for the note.
        known: labels that are classes, such as those with a score column.
    """
    counts = labels.value_counts()
    spellings = [value for value in counts.index if is_missing_text(value) and value not in known]
    others = {str(value).strip().removesuffix(".0") for value in counts.index if value not in spellings}
    if others and all(_is_number(value) or value.lower() == "none" for value in others):
        # Among numbers, "None" is no class.
        spellings += [value for value in counts.index if str(value).strip().lower() == "none" and value not in known]
        others = {value for value in others if _is_number(value)}
    if others == {"-1", "0", "1"} and "-1" not in known:
        spellings += [value for value in counts.index if str(value).strip().removesuffix(".0") == "-1"]
        others -= {"-1"}
    if not spellings or len(others) < 2:
        return labels, []
    found = labels.astype(object).where(~labels.isin(spellings), np.nan)
    shown = [value for value in spellings if str(value).strip()]
    if not shown:
        return found, []
    rows = int(sum(counts[value] for value in shown))
    each = [f"'{value}'" + (f" ({int(counts[value]):,})" if len(shown) > 1 else "") for value in shown[:8]]
    each += [f"{len(shown) - 8} more"] if len(shown) > 8 else []
    listed = each[0] if len(each) == 1 else ", ".join(each[:-1]) + " or " + each[-1]
    what = ("row", "is") if rows == 1 else ("rows", "are")
    return found, [f"{name}: {rows:,} {what[0]} with the label {listed} {what[1]} treated as unlabeled."]


def count_empty(labels: pd.Series) -> int:
    """Return the number of labels that are empty or consist of spaces.

    >>> count_empty(pd.Series(["real", " ", None]))
    2
    """
    if pd.api.types.is_numeric_dtype(labels):
        return int(labels.isna().sum())
    return int((labels.isna() | (labels.astype(object).astype(str).str.strip() == "")).sum())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def to_numbers(column: pd.Series) -> pd.Series | None:
    """Convert a column to numbers; return None if it holds anything else.

    ``Decimal``, ``True``, ``"0.5"``, ``"0,5"`` and ``"50%"`` are numbers. Texts such as ``NA`` are missing values.

    >>> to_numbers(pd.Series(["0,5", "50%", None])).tolist()
    [0.5, 0.5, nan]
    """
    if pd.api.types.is_bool_dtype(column):
        return column.astype("Float64").astype(float)
    if pd.api.types.is_numeric_dtype(column):
        return column
    plain = column.astype(object).where(column.notna(), np.nan)
    try:
        return pd.to_numeric(plain).astype(float)
    except (TypeError, ValueError):
        pass
    texts = plain.dropna().map(lambda value: value.strip() if isinstance(value, str) else value)
    if not texts.map(lambda value: isinstance(value, str)).all():
        return None
    texts = texts[~texts.str.lower().isin(_MISSING_NUMBERS)]
    percent = texts.str.endswith("%")
    numbers = pd.to_numeric(texts.str.removesuffix("%").str.strip().str.replace(",", "."), errors="coerce")
    if numbers.isna().any() or not len(numbers):
        return None
    return (numbers / np.where(percent, 100, 1)).reindex(column.index)


def percent_note(name: str, column: pd.Series) -> list[str]:
    """Return a note if only some values of a numeric column have a percent sign."""
    texts = column.dropna().map(lambda value: isinstance(value, str) and value.strip().endswith("%"))
    count = int(texts.sum())
    if not 0 < count < len(texts):
        return []
    first = column.dropna()[texts].iloc[0]
    verbs = ("has", "is") if count == 1 else ("have", "are")
    return [
        f"Column '{name}': {count:,} of {len(texts):,} values {verbs[0]} a percent sign, such as '{first.strip()}', "
        f"and {verbs[1]} divided by 100; the others are used as they are."
    ]
