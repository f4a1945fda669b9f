"""Writing of shards, with the unchanged image files of each split in random order and a JSON file for each row.

A folder of shards holds ``SPLIT-000000.tar`` and so on, ``shards.json`` (the number of samples in each shard) and
``manifest.parquet`` (the rows, with paths ``SHARD/NAME``). ``shards.json`` is written last, so a folder without it is
incomplete. The PAX header of each image holds the CRC-32 of the image and of its JSON file.

Example::

    write_shards(Path("faces.parquet"), Path("shards"))
"""

import io
import json
import tarfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from auxface.atomic import atomic_file
from auxface.data.images.decode import MAX_BYTES, UnreadableImage, in_order, read_bytes, read_image
from auxface.data.manifest import SPLITS, Manifest, header, read_manifest, write_manifest
from auxface.data.media import is_video
from auxface.data.shards.sharded_images import CHECKSUM, JSON_CHECKSUM, refuse_shards
from auxface.errors import InputError
from auxface.evaluation.csv_cells import escape_cells
from auxface.output_folder import (
    begin_growing,
    check_output_folder,
    clear_folder,
    delete_leftovers,
    end_growing,
    refuse_foreign_names,
    refuse_inputs_inside,
)
from auxface.progress import progress_steps

Progress = Callable[[int, int], None]
INDEX = "shards.json"
VERSION = 2
_PLAN = ".plan.json"
_NUMBERED = tuple(f"{split}-{'[0-9]' * 6}.tar" for split in SPLITS)
_LAST = ("manifest.parquet", "rejected.csv", INDEX)
_WRITTEN = (_PLAN, *_LAST, *_NUMBERED, *(f".{name}.json" for name in _NUMBERED))
_REPORT_EVERY = 64


@dataclass(frozen=True)
class ShardCounts:
    """The result of :func:`write_shards`.

    Attributes:
        shards: number of tar files.
        samples: number of images in the shards.
        unreadable: number of images that could not be read.
    """

    shards: int
    samples: int
    unreadable: int


def write_shards(
    manifest: Path,
    out: Path,
    *,
    samples: int = 1000,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ShardCounts:
    """Write a manifest's images as webdataset shards; an interrupted run resumes and keeps its finished shards.

    Args:
        manifest: manifest of the images, ``.parquet`` or ``.csv``.
        out: folder to write.
        samples: number of images per shard; the last shard of a split holds the remainder.
        seed: seed of the random order of the images.
        overwrite: whether to replace shards written for another manifest or with other settings.
        progress: function called with (images done, images in total); defaults to a progress bar on standard error.

    Raises:
        InputError: the manifest is not a manifest of images, no image is readable, or the folder has other contents.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> auxface.write_shards(Path("faces.parquet"), Path("shards"), samples=100)
        ShardCounts(shards=3, samples=60, unreadable=0)
    """
    opened = read_manifest(manifest)
    refuse_shards(opened, manifest)
    if progress is None:
        with progress_steps("write shards", "images") as bar:
            return write_shards(manifest, out, samples=samples, seed=seed, overwrite=overwrite, progress=bar)
    table = opened.table
    videos = table["path"].map(is_video)
    if videos.any():
        raise InputError(
            f"{table['path'][videos].iloc[0]}: a video; shards hold images: extract frames first, with "
            "'auxface prepare ... --frames 32 --crops FOLDER'"
        )
    plan = {"version": VERSION, "manifest": opened.hash, "samples": samples, "seed": seed}
    parts: list[tuple[str, str, np.ndarray]] = []
    for split in SPLITS:
        rows = np.flatnonzero(table["split"] == split)
        rows = np.random.default_rng([seed, SPLITS.index(split)]).permutation(rows)
        parts += [
            (split, f"{split}-{number:06d}.tar", rows[start : start + samples])
            for number, start in enumerate(range(0, len(rows), samples))
        ]
    _begin(out, plan, [name for _, name, _ in parts], overwrite, [manifest, *opened.paths()])
    done, written = 0, {}
    for _, name, rows in parts:
        entries = out / f".{name}.json"
        if _load_json(entries) is None or not (out / name).is_file():
            _write_shard(opened, rows, out / name, entries, lambda at, before=done: progress(before + at, len(table)))
        written[name] = _load_json(entries)
        done += len(rows)
        progress(done, len(table))
    return _finish(opened, out, plan, [(split, name) for split, name, _ in parts], written)


def _load_json(path: Path) -> Any:
    """Return the content of a JSON file, or None if it is missing or corrupt."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _begin(folder: Path, plan: dict[str, Any], shards: Iterable[str], overwrite: bool, inputs: Iterable[Path]) -> None:
    """Create the folder, or check that its contents follow the same plan."""
    kept = folder / _PLAN
    if _load_json(kept) == plan:
        missing = [each for name in shards for each in (name, f".{name}.json") if not (folder / each).exists()]
        refuse_foreign_names(folder, _LAST)
        begin_growing(folder, _WRITTEN, changing=[*_LAST, *missing])
        delete_leftovers(folder)
        return
    check_output_folder(folder, overwrite)
    refuse_inputs_inside(folder, inputs)
    clear_folder(folder)
    begin_growing(folder, _WRITTEN)
    with atomic_file(kept) as temporary:
        temporary.write_text(json.dumps(plan))


def _write_shard(
    manifest: Manifest, rows: np.ndarray, path: Path, entries_file: Path, report: Callable[[int], None]
) -> None:
    table = manifest.table

    def load(row: int) -> tuple[int, bytes, str]:
        file = manifest.root / table["path"].iloc[row]
        try:
            data = read_bytes(file, MAX_BYTES)
            read_image(data)
        except UnreadableImage as error:
            return row, b"", str(error)
        return row, data, ""

    entries: list[dict[str, Any]] = []
    with atomic_file(path) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
        for number, (row, data, reason) in enumerate(in_order(load, [int(row) for row in rows]), 1):
            if number % _REPORT_EVERY == 0:
                report(number)
            if reason:
                entries.append({"row": row, "reason": reason})
                continue
            name = f"{row:09d}{Path(table['path'].iloc[row]).suffix.lower()}"
            values = json.loads(table.iloc[[row]].to_json(orient="records", force_ascii=False))[0]
            content = json.dumps(values, ensure_ascii=False).encode()
            checksums = {CHECKSUM: str(zlib.crc32(data)), JSON_CHECKSUM: str(zlib.crc32(content))}
            _add(tar, name, data, checksums)
            _add(tar, f"{row:09d}.json", content, {})
            entries.append({"row": row, "name": name})
    with atomic_file(entries_file) as temporary:
        temporary.write_text(json.dumps(entries))


def _add(tar: tarfile.TarFile, name: str, data: bytes, records: dict[str, str]) -> None:
    # Members have no modification time and no owner, so that equal images give equal bytes.
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.pax_headers = len(data), 0o644, records
    tar.addfile(member, io.BytesIO(data))


def _finish(
    manifest: Manifest, folder: Path, plan: dict[str, Any], order: list[tuple[str, str]], written: dict[str, Any]
) -> ShardCounts:
    entries = [(name, entry) for _, name in order for entry in written[name]]
    usable = [(name, entry) for name, entry in entries if "name" in entry]
    if not usable:
        raise InputError(f"none of the {len(entries)} images can be read ({entries[0][1]['reason']})")
    rows = manifest.table.iloc[[entry["row"] for _, entry in usable]].reset_index(drop=True)
    rows["path"] = [f"{name}/{entry['name']}" for name, entry in usable]
    write_manifest(replace(manifest, table=rows), folder / "manifest.parquet")
    rejected = [
        (manifest.table["path"].iloc[entry["row"]], entry["reason"]) for _, entry in entries if "reason" in entry
    ]
    with atomic_file(folder / "rejected.csv") as temporary:
        escape_cells(pd.DataFrame(rejected, columns=["path", "reason"])).to_csv(temporary, index=False)
    splits: dict[str, list[dict[str, Any]]] = {}
    for split, name in order:
        count = sum("name" in entry for entry in written[name])
        if count:
            splits.setdefault(split, []).append({"file": name, "samples": count})
    index = {**plan, "header": header(manifest), "splits": splits, "unreadable": len(rejected)}
    with atomic_file(folder / INDEX) as temporary:
        temporary.write_text(json.dumps(index, indent=1, ensure_ascii=False), encoding="utf-8")
    end_growing(folder)
    return ShardCounts(sum(map(len, splits.values())), len(usable), len(rejected))
