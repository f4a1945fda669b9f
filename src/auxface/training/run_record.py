"""``run.json``: what a run was started with, so that it can be resumed by its folder alone.

Example:
    write_record(folder, RunRecord(data="/data/faces.parquet", manifest_hash=manifest.hash, images={"train": 900}))
    manifest = read_same_manifest(folder, read_record(folder), data=None)
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from auxface.atomic import atomic_file
from auxface.data.manifest import Manifest, read_manifest
from auxface.errors import InputError

_FILE = "run.json"


@dataclass(frozen=True)
class RunRecord:
    """The data of a run.

    Attributes:
        data: Absolute path of the manifest.
        manifest_hash: Hash of the manifest's header and rows.
        images: Number of usable images per split.
    """

    data: str
    manifest_hash: str
    images: dict[str, int]


def write_record(folder: Path, record: RunRecord) -> None:
    """Write ``run.json`` into a run's folder."""
    with atomic_file(folder / _FILE) as temporary:
        temporary.write_text(json.dumps(asdict(record), indent=1) + "\n")


def has_record(folder: Path) -> bool:
    """Return whether a run was started in a folder."""
    return (folder / _FILE).is_file()


def read_record(folder: Path) -> RunRecord:
    """Read ``run.json`` from a run's folder.

    Raises:
        InputError: No run was started there, or the file is not a valid record.
    """
    if not has_record(folder):
        raise InputError(f"{folder}: no run to resume ({_FILE} is missing); start one with 'auxface train RECIPE'")
    try:
        return RunRecord(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise InputError(f"{folder / _FILE}: not a valid record of a run; start a new run") from None


def read_same_manifest(folder: Path, record: RunRecord, data: Path | None) -> Manifest:
    """Read the manifest with which a run was started, and check that it is unchanged.

    Args:
        folder: Folder of the run.
        record: Record of the run.
        data: Path of the manifest if it has moved since; None for the recorded path.

    Raises:
        InputError: The manifest is missing, or its header or rows have changed.
    """
    path = Path(record.data) if data is None else data
    manifest = read_manifest(path)
    if manifest.hash != record.manifest_hash:
        raise InputError(
            f"{path}: not the manifest with which {folder} was started (its rows or header have changed); "
            "restore the old one, or start a new run"
        )
    return manifest


def check_image_counts(folder: Path, record: RunRecord, images: dict[str, int]) -> None:
    """Check that as many images are usable as when the run was started; other numbers would change the order.

    Args:
        folder: Folder of the run.
        record: Record of the run.
        images: Number of usable images per split now.

    Raises:
        InputError: The number of a split differs.
    """
    for split, count in images.items():
        if record.images.get(split) != count:
            raise InputError(
                f"{folder}: {record.images.get(split)} images of '{split}' could be read when the run was started, "
                f"{count} now; restore the missing images, or start a new run"
            )
