"""The error message for a table whose columns can be read in several ways; it spells out the options that decide.

>>> frame = pd.DataFrame({"a": [0, 1], "b": [0.1, 0.9]})
>>> several_readings(frame, "t.csv", "the score", true="a")[:74]
't.csv: no column has a name that denotes the score. Columns: a, b. Name th'
"""

import shlex
from collections.abc import Sequence

import pandas as pd

from auxface.evaluation.cell_values import is_missing_text
from auxface.evaluation.column_names import (
    EITHER,
    GROUP_WORDS,
    SCORE,
    SOURCE,
    TRUE,
    VIDEO,
    decision_pairs,
    is_numeric,
    listed,
    named_like,
    named_like_scores,
    plain_name,
)
from auxface.evaluation.groups import natural_order
from auxface.evaluation.predictions import KEY, text_of

# At most this many options of one kind are spelled out.
_MOST_SPELLED = 12


def several_readings(
    frame: pd.DataFrame,
    where: str,
    what: str,
    *,
    true: str | None = None,
    score: str | None = None,
    named: Sequence[str] = (),
) -> str:
    """Return the error message for ambiguous column names; the message states which options to use.

    Args:
        frame: table without auxface's column names.
        where: name of the table in the message.
        what: what was not found, ``the true label`` or ``the score``.
        true: column that the caller named as the true label.
        score: column that the caller named as the score.
        named: all columns that the caller named.
    """
    names = [str(name) for name in frame.columns]
    free = [name for name in names if name not in named and name not in (*KEY, "split")]
    trues = named_like(free, TRUE)
    scores = [*named_like(free, SCORE), *named_like_scores(free), *named_like(free, EITHER)]
    numeric = [name for name in free if is_numeric(frame[name])]
    binary = [name for name in free if frame[name].nunique() == 2]
    several = {"the true label": trues, "the score": list(dict.fromkeys(scores))}[what]
    pairs = [] if score else decision_pairs(free)
    true = true or next(iter([*trues, *binary]), "COLUMN")
    score = score or next((one for one in [*scores, *numeric] if one != true and is_numeric(frame[one])), "COLUMN")
    if what == "the true label" and pairs:
        parts = ["--true", pairs[0][0], "--predicted", pairs[0][1]]
    else:
        parts = ["--true", true, *_score_options(frame, true, several if what == "the score" else [], score)]
    groups = [name for name in free if set(plain_name(name).split("_")) & GROUP_WORDS and name not in parts]
    for name in groups[:_MOST_SPELLED]:
        parts += ["--group", name]
    cluster = next((name for name in free if plain_name(name) in VIDEO | SOURCE), None)
    parts += [] if cluster is None else ["--cluster", cluster]
    why = f"{what} may be {' or '.join(map(repr, several))}"
    if len(several) < 2:
        why = f"no column has a name that denotes {what}"
        why = f"no column true.TASK, and {why}" if what == "the true label" else why
    if len(several) == 1 and what == "the score":
        value = str(next(iter(frame[several[0]].dropna()), ""))[:40]
        why = f"column '{several[0]}' does not hold one number per row (first value: '{value}')"
    several_models = "; repeat --score to compare several models" if what == "the score" and "--score" in parts else ""
    return (
        f"{where}: {why}. Columns: {listed(names)}. Name them with options, such as: {shlex.join(parts)} "
        f"(--predicted COLUMN for decisions without scores{several_models})"
    )


def _score_options(frame: pd.DataFrame, true: str, scores: Sequence[str], single: str) -> list[str]:
    """Return options for the scores: one per class if there are several classes and as many columns, otherwise one."""
    if true not in frame.columns:
        return ["--score", single]
    classes = sorted(
        {text_of(value) for value in frame[true].dropna().unique() if not is_missing_text(value)}, key=natural_order
    )
    if not 2 < len(classes) <= len(scores):
        return ["--score", single]
    return [part for name in classes[:_MOST_SPELLED] for part in ("--score-for", f"{name}=COLUMN")]
