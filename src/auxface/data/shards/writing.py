"""Writing shards: images in a random order of each split, byte for byte, each beside a JSON of its row.

A folder holds ``SPLIT-000000.tar`` and so on, ``shards.json`` (what each has) and ``manifest.parquet`` (the rows, whose
paths are ``SHARD/NAME``). ``shards.json`` is written last, so that it stands for a run that ended.
"""

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from auxface.atomic import atomic_file
from auxface.data.images.decode import MAX_BYTES, UnreadableImage, read_bytes, read_image
from auxface.data.layouts.tree import VIDEO_SUFFIXES
from auxface.data.manifest import SPLITS, Manifest, header, write_manifest
from auxface.data.parallel import in_order
from auxface.errors import InputError
from auxface.output_folder import (
    begin_growing,
    check_output_folder,
    clear_folder,
    delete_leftovers,
    end_growing,
    refuse_foreign_names,
    refuse_inputs_inside,
)

Progress = Callable[[int, int], None]
INDEX = "shards.json"
_PLAN = ".plan.json"
_NUMBERED = tuple(f"{split}-{'[0-9]' * 6}.tar" for split in SPLITS)
_LAST = ("manifest.parquet", "rejected.csv", INDEX)
_WRITTEN = (_PLAN, *_LAST, *_NUMBERED, *(f".{name}.json" for name in _NUMBERED))
_TOLD_EVERY = 64
VERSION = 1


@dataclass(frozen=True)
class Sharded:
    """What was written: shards, images in them, and images that could not be read."""

    shards: int
    samples: int
    unreadable: int


def write_shards(
    manifest: Manifest,
    folder: Path,
    *,
    samples: int = 1000,
    seed: int = 0,
    overwrite: bool = False,
    inputs: Iterable[Path] = (),
    progress: Progress | None = None,
) -> Sharded:
    """Write every split of a manifest as shards; shards that a stopped run finished are kept.

    Args:
        manifest: of images.
        folder: the folder to make.
        samples: images in a shard; the last of a split has what is left.
        seed: of the order, so that neighbors in the manifest are not neighbors in a shard.
        overwrite: replace shards of another manifest or other settings.
        inputs: what must not be in the folder, beside the images.
        progress: called with (images done, images in all).

    Raises:
        InputError: the manifest has videos, no image can be read, or the folder holds something else.
    """
    table = manifest.table
    videos = table["path"].str.lower().str.endswith(VIDEO_SUFFIXES)
    if videos.any():
        raise InputError(
            f"{table['path'][videos].iloc[0]}: a video; take its frames first, with 'prepare ... --frames'"
        )
    plan = {"version": VERSION, "manifest": manifest.hash, "samples": samples, "seed": seed}
    parts: list[tuple[str, str, np.ndarray]] = []
    for split in SPLITS:
        rows = np.flatnonzero(table["split"] == split)
        rows = np.random.default_rng([seed, SPLITS.index(split)]).permutation(rows)
        parts += [
            (split, f"{split}-{number:06d}.tar", rows[start : start + samples])
            for number, start in enumerate(range(0, len(rows), samples))
        ]
    _begin(folder, plan, [name for _, name, _ in parts], overwrite, [*inputs, *manifest.paths()])
    tell = progress or (lambda *_: None)
    done, written = 0, {}
    for _, name, rows in parts:
        listed = folder / f".{name}.json"
        if not (listed.is_file() and (folder / name).is_file()):
            _write_shard(manifest, rows, folder / name, listed, lambda at, before=done: tell(before + at, len(table)))
        written[name] = json.loads(listed.read_text())
        done += len(rows)
        tell(done, len(table))
    return _finish(manifest, folder, plan, [(split, name) for split, name, _ in parts], written)


def _begin(folder: Path, plan: dict[str, Any], shards: Iterable[str], overwrite: bool, inputs: Iterable[Path]) -> None:
    """Make the folder, or make sure that what it holds is of the same plan."""
    kept = folder / _PLAN
    if kept.is_file() and json.loads(kept.read_text()) == plan:
        missing = [each for name in shards for each in (name, f".{name}.json") if not (folder / each).exists()]
        refuse_foreign_names(folder, _LAST)
        begin_growing(folder, _WRITTEN, changing=[*_LAST, *missing])
        delete_leftovers(folder)
        return
    check_output_folder(folder, overwrite)
    refuse_inputs_inside(folder, inputs)
    clear_folder(folder)
    begin_growing(folder, _WRITTEN)
    with atomic_file(kept) as beside:
        beside.write_text(json.dumps(plan))


def _write_shard(manifest: Manifest, rows: np.ndarray, path: Path, listed: Path, tell: Callable[[int], None]) -> None:
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
    with atomic_file(path) as beside, tarfile.open(beside, "w", format=tarfile.PAX_FORMAT) as tar:
        for number, (row, data, reason) in enumerate(in_order(load, [int(row) for row in rows]), 1):
            if number % _TOLD_EVERY == 0:
                tell(number)
            if reason:
                entries.append({"row": row, "reason": reason})
                continue
            name = f"{row:09d}{Path(table['path'].iloc[row]).suffix.lower()}"
            about = json.loads(table.iloc[[row]].to_json(orient="records", force_ascii=False))[0]
            _add(tar, name, data)
            _add(tar, f"{row:09d}.json", json.dumps(about, ensure_ascii=False).encode())
            entries.append({"row": row, "name": name})
    with atomic_file(listed) as beside:
        beside.write_text(json.dumps(entries))


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    # Nothing of the machine or the time goes in: the same images make the same bytes.
    about = tarfile.TarInfo(name)
    about.size, about.mode = len(data), 0o644
    tar.addfile(about, io.BytesIO(data))


def _finish(
    manifest: Manifest, folder: Path, plan: dict[str, Any], order: list[tuple[str, str]], written: dict[str, Any]
) -> Sharded:
    entries = [(name, entry) for _, name in order for entry in written[name]]
    usable = [(name, entry) for name, entry in entries if "name" in entry]
    if not usable:
        raise InputError(f"not one of the {len(entries)} images can be read ({entries[0][1]['reason']})")
    rows = manifest.table.iloc[[entry["row"] for _, entry in usable]].reset_index(drop=True)
    rows["path"] = [f"{name}/{entry['name']}" for name, entry in usable]
    write_manifest(replace(manifest, table=rows), folder / "manifest.parquet")
    rejected = [
        (manifest.table["path"].iloc[entry["row"]], entry["reason"]) for _, entry in entries if "reason" in entry
    ]
    with atomic_file(folder / "rejected.csv") as beside:
        pd.DataFrame(rejected, columns=["path", "reason"]).to_csv(beside, index=False)
    splits: dict[str, list[dict[str, Any]]] = {}
    for split, name in order:
        count = sum("name" in entry for entry in written[name])
        if count:
            splits.setdefault(split, []).append({"file": name, "samples": count})
    about = {**plan, "header": header(manifest), "splits": splits, "unreadable": len(rejected)}
    with atomic_file(folder / INDEX) as beside:
        beside.write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")
    end_growing(folder)
    return Sharded(sum(map(len, splits.values())), len(usable), len(rejected))
