"""Each file of a listing is opened once: can it be read, and has the same file been seen before?"""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from auxface.data.decode import MAX_BYTES, UnreadablePicture, read_bytes, read_picture
from auxface.data.journal import Journal, file_state
from auxface.data.manifest import SPLITS
from auxface.data.parallel import in_order

Status = Literal["usable", "no_face", "unreadable", "duplicate"]
STATUSES: tuple[Status, ...] = ("usable", "no_face", "unreadable", "duplicate")


@dataclass(frozen=True)
class Outcome:
    """What became of one picture.

    Attributes:
        status: see :data:`STATUSES`.
        reason: why it is not usable; empty where it is.
        digest: SHA-256 of the file; empty where it could not be read.
    """

    status: Status
    reason: str = ""
    digest: str = ""


def examine(path: str, tree: Path | None) -> Outcome:
    """Open and decode one picture.

    Args:
        path: of the picture.
        tree: a resolved folder that the file must really be in, or None.
    """
    try:
        check_inside(path, tree)
        data = read_bytes(Path(path), MAX_BYTES)
        read_picture(data)
    except UnreadablePicture as error:
        return Outcome("unreadable", str(error))
    return Outcome("usable", "", hashlib.sha256(data).hexdigest())


def check_inside(path: str, tree: Path | None) -> None:
    """Refuse a link that leads out of the data set's folder.

    Raises:
        UnreadablePicture: it does.
    """
    if tree is None:
        return
    try:
        inside = Path(path).resolve().is_relative_to(tree)
    except (OSError, ValueError, RuntimeError):
        raise UnreadablePicture("cannot be opened (bad name or link)") from None
    if not inside:
        raise UnreadablePicture("a link that leaves the data set's folder")


def examine_all(paths: list[str], tree: Path | None, journal: Journal) -> Iterator[Outcome]:
    """Examine many pictures on all cores, in order; those that the journal knows are not opened again."""
    tree = None if tree is None else tree.resolve()

    def work(path: str) -> tuple[Outcome, str | None]:
        known = journal.find(path)
        if known is not None:
            return Outcome(**known), None
        state = file_state(path)
        return examine(path, tree), state

    for path, (outcome, state) in zip(paths, in_order(work, paths), strict=True):
        if state is not None:
            journal.add(path, state, asdict(outcome))
        yield outcome


def mark_duplicates(paths: list[str], splits: pd.Series, outcomes: list[Outcome]) -> list[Outcome]:
    """Of pictures that are the same file, byte by byte, keep one: in test before val before train, then the first.

    Test is kept so that what a model is measured on stays whole and loses its copies in training.
    """
    first: dict[str, int] = {}
    order = sorted(range(len(paths)), key=lambda row: (-SPLITS.index(splits.iloc[row]), row))
    result = list(outcomes)
    for row in order:
        outcome = outcomes[row]
        if outcome.status != "usable":
            continue
        kept = first.setdefault(outcome.digest, row)
        if kept != row:
            result[row] = Outcome("duplicate", f"same file as {paths[kept]}", outcome.digest)
    return result
