r"""Escape the cells of CSV files for spreadsheet programs and terminals, and restore them; escape the text of pages.

>>> escape_cells(pd.DataFrame({"name": ["=1+1", "a\x1b[31m", "it's"]}))["name"].tolist()
["'=1+1", "'a\\x1b[31m", "it's"]
"""

import re
from collections.abc import Callable
from typing import Any

import pandas as pd

# Text that Excel and LibreOffice interpret as a formula, possibly after apostrophes.
_FORMULA = re.compile(r"'*\s*[=+\-@]")
_NUMBER = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?", re.ASCII)
# Control characters can change the display of a terminal, and end a row for programs that read line by line. Characters
# that override the direction of text change the order in which letters are displayed.
_DIRECTION = r"\u202a-\u202e\u2066-\u2069"
_CONTROL = re.compile(rf"[\x00-\x1f\x7f-\x9f{_DIRECTION}]")
# In a page, line breaks and tabs are spaces.
_CONTROL_IN_PAGE = re.compile(rf"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{_DIRECTION}]")
# A control character or a backslash, as it is written in an escaped text.
_ESCAPE = re.compile(r"\\(?:x(?:[0189][0-9a-f]|7f|5c)|u202[a-e]|u206[6-9])")


def escape_cells(table: pd.DataFrame) -> pd.DataFrame:
    r"""Escape text that a spreadsheet program would evaluate as a formula, and control characters.

    An escaped text begins with an apostrophe, and its control characters are written as ``\x1b``. All CSV files that
    auxface writes for people or other programs are escaped. :func:`restore_cells` is the inverse.
    """
    return _map_texts(table, _escaped)


def restore_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return the texts that :func:`escape_cells` escaped; other texts are unchanged."""
    return _map_texts(table, _restored)


def escape_in_page(value: Any) -> Any:
    r"""Return text for an HTML page with control characters written as ``\x1b``; other values are unchanged.

    >>> escape_in_page("a\x1b[31m\n")
    'a\\x1b[31m\n'
    """
    if isinstance(value, str) and _CONTROL_IN_PAGE.search(value):
        return type(value)(_CONTROL_IN_PAGE.sub(_written, value))
    return value


def is_number(text: str) -> bool:
    """Return whether a text is a number, with a decimal point or a decimal comma."""
    return _NUMBER.fullmatch(text) is not None


def _escaped(text: str) -> str:
    formula = _FORMULA.match(text) is not None and not is_number(text)
    if _CONTROL.search(text) or (_ESCAPE.search(text) and (formula or text.startswith("'"))):
        text = _ESCAPE.sub(lambda found: rf"\x5c{found[0][1:]}", text)
        return "'" + _CONTROL.sub(_written, text)
    return f"'{text}" if formula else text


def _written(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _restored(text: str) -> str:
    if not text.startswith("'"):
        return text
    if _ESCAPE.search(text):
        return _ESCAPE.sub(lambda found: chr(int(found[0][2:], 16)), text[1:])
    return text[1:] if _FORMULA.match(text) else text


def _map_texts(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    def changed(value: object) -> object:
        return change(value) if isinstance(value, str) else value

    columns = [table.iloc[:, place] for place in range(table.shape[1])]
    made = []
    for column in columns:
        if isinstance(column.dtype, pd.CategoricalDtype):
            names = list(map(changed, column.cat.categories))
            # A table that another program wrote may contain a text both with and without the apostrophe.
            if len(set(names)) < len(names):
                column = column.astype(object).map(changed, na_action="ignore").astype("category")
            else:
                column = column.cat.rename_categories(names)
            made.append(column)
        elif pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
            made.append(column)
        else:
            made.append(pd.Series(list(map(changed, column)), column.index, dtype=column.dtype))
    found = pd.concat(made, axis=1) if made else table.copy()
    found.columns = list(map(changed, table.columns))
    return found
