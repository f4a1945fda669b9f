"""The scale of an ordinal label: the values that an answer can be, read off the training split."""

import numpy as np

from auxface.errors import InputError

_MOST_WHOLE = 128
_BINS = 20


def ordinal_values(labels: np.ndarray, bins: int | None, name: str) -> tuple[float, ...]:
    """Evenly spaced values from the smallest to the largest label.

    Args:
        labels: float [N], NaN unknown, of the training split.
        bins: how many values; None: one per whole number where all labels are whole and span at most 128, else 20.
        name: of the label, for the error.

    Raises:
        InputError: fewer than two different labels.
    """
    known = labels[np.isfinite(labels)]
    if not len(known) or known.min() == known.max():
        raise InputError(f"tasks: label '{name}' has fewer than two different values in the training split")
    low, high = float(known.min()), float(known.max())
    if bins is None:
        whole = bool((known == known.round()).all()) and high - low < _MOST_WHOLE
        bins = int(high - low) + 1 if whole else _BINS
    return tuple(float(value) for value in np.linspace(low, high, bins))
