"""Tasks: labels that a model predicts, in the representation that all packages share.

:class:`auxface.objectives.LearnedTask` adds the options of the loss, :class:`auxface.evaluation.ScoredTask` adds
thresholds, and :class:`auxface.model.config.TaskRecord` converts between ``config.json`` and both.

Example:
    >>> Task("gender", "class", ("Female", "Male")).classes
    ('Female', 'Male')
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["class", "binary", "multilabel", "ordinal"]


@dataclass(frozen=True)
class Task:
    """A label that a model predicts.

    Attributes:
        name: name of the label.
        kind: ``class`` (one of several classes), ``binary`` (a negative and a positive class), ``multilabel`` (each
            class is an attribute, which is present or absent) or ``ordinal`` (a number).
        classes: class or attribute names in order; for an ordinal task, the values as text, or empty.
    """

    name: str
    kind: Kind
    classes: tuple[str, ...] = ()
