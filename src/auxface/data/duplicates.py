"""The same picture twice: byte by byte while preparing, and by how it looks when a manifest is inspected."""

from collections.abc import Sequence
from dataclasses import replace

from auxface.data.intake import Outcome
from auxface.data.manifest import SPLITS


def mark_duplicates(paths: Sequence[str], splits: Sequence[str], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Of pictures that are the same file, byte by byte, keep one: in test before val before train, then the first.

    Test is kept so that what a model is measured on stays whole and loses its copies in training.

    Args:
        paths: of each item.
        splits: of each item.
        outcomes: of each item.
    """
    first: dict[str, int] = {}
    order = sorted(range(len(paths)), key=lambda row: (-SPLITS.index(splits[row]), row))
    result = list(outcomes)
    for row in order:
        outcome = outcomes[row]
        if not outcome.digest or outcome.pieces[0].status != "usable":
            continue
        kept = first.setdefault(outcome.digest, row)
        if kept != row:
            reason = f"same file as {paths[kept]}"
            pieces = tuple(replace(piece, status="duplicate", reason=reason, path="") for piece in outcome.pieces)
            result[row] = Outcome(pieces, outcome.digest)
    return result
