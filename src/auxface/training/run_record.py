"""What a run was started with, kept in its folder as ``run.json``, so that it can be gone on with by name alone."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from auxface.atomic import atomic_file
from auxface.data.manifest import Manifest, read_manifest
from auxface.errors import InputError

_FILE = "run.json"


@dataclass(frozen=True)
class RunRecord:
    """The start of a run.

    Attributes:
        data: the manifest's absolute path.
        manifest_hash: of its header and rows.
        pictures: usable pictures by split.
    """

    data: str
    manifest_hash: str
    pictures: dict[str, int]


def write_record(folder: Path, record: RunRecord) -> None:
    """Write ``run.json``."""
    with atomic_file(folder / _FILE) as beside:
        beside.write_text(json.dumps(asdict(record), indent=1) + "\n")


def has_record(folder: Path) -> bool:
    """Whether a run was started in a folder."""
    return (folder / _FILE).is_file()


def read_record(folder: Path) -> RunRecord:
    """Read ``run.json``.

    Raises:
        InputError: no run was started there, or the file is broken.
    """
    if not has_record(folder):
        raise InputError(f"{folder}: no run to go on with ({_FILE} is missing); start one with 'auxface train RECIPE'")
    try:
        return RunRecord(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise InputError(f"{folder / _FILE}: not a record of a run") from None


def same_manifest(folder: Path, record: RunRecord, data: Path | None) -> Manifest:
    """The manifest that a run was started with, from where it was or from ``data``.

    Raises:
        InputError: it is gone, or its header or rows have changed.
    """
    manifest = read_manifest(Path(record.data) if data is None else data)
    if manifest.hash != record.manifest_hash:
        raise InputError(
            f"{record.data if data is None else data}: not the manifest that {folder} was started with (its rows or "
            "header have changed); bring back the old one, or start a new run"
        )
    return manifest


def check_pictures(folder: Path, record: RunRecord, pictures: dict[str, int]) -> None:
    """Refuse to go on where pictures have gone or come since the start: the order of training would be another.

    Raises:
        InputError: other numbers of usable pictures than at the start.
    """
    for split, count in pictures.items():
        if record.pictures.get(split) != count:
            raise InputError(
                f"{folder}: {record.pictures.get(split)} pictures of '{split}' could be read when the run was started, "
                f"{count} now; bring them back, or start a new run"
            )
