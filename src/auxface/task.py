"""A label that a model predicts, in the one form that all rooms share.

:class:`auxface.objectives.LearnedTask` adds how the label is learned, :class:`auxface.evaluation.ScoredTask` how scores
become decisions, and :class:`auxface.model.config.TaskRecord` converts between ``config.json`` and both.

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
        kind: ``class`` (one of several), ``binary`` (classes are negative, positive), ``multilabel`` (each class is an
            attribute, present or not) or ``ordinal`` (a number).
        classes: class or attribute names in order; of an ordinal task the values as text, or none.
    """

    name: str
    kind: Kind
    classes: tuple[str, ...] = ()
