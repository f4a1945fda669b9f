"""``auxface prepare``: a data set as its owners publish it, to a manifest."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from auxface.atomic import atomic_file, refuse_existing
from auxface.data.copies import find_copies, from_text
from auxface.data.faces import FaceCutter, FaceSettings
from auxface.data.images.decode import DECODE_VERSION
from auxface.data.layouts import Listing, get_layout, resolve_options
from auxface.data.leaks import find_leaks
from auxface.data.manifest import COLUMNS, KEY, Manifest, check_manifest, write_manifest
from auxface.data.prepare.accounting import STATUSES, Intake, Item, Outcome, mark_duplicates, safe_name
from auxface.data.prepare.journal import Journal
from auxface.data.video.frames import FrameSettings
from auxface.errors import InputError

Progress = Callable[[int, int], None]


def prepare(
    layout: str,
    root: Path,
    *,
    output: Path,
    overwrite: bool = False,
    options: Mapping[str, Any] | None = None,
    faces: FaceSettings | None = None,
    weights: Path | None = None,
    frames: FrameSettings | None = None,
    crops: Path | None = None,
    duplicates: Literal["drop", "keep"] = "drop",
    progress: Progress | None = None,
) -> dict[str, int]:
    """Read a data set, open each of its files once, and write a manifest of what can be used.

    Beside ``NAME.parquet`` stand ``NAME.account.json`` (what is returned), ``NAME.rejected.csv`` (path, reason) and,
    where an image of one split looks like one of another, ``NAME.leaks.csv``. A run that was stopped goes on where it
    was: finished files stand in a hidden journal beside the manifest.

    Args:
        layout: name of a layout; see :func:`auxface.data.layouts.layouts`.
        root: the data set's folder, or the list file of ``table``.
        output: the manifest to write, ``.parquet`` or ``.csv``.
        overwrite: replace ``output`` if it exists.
        options: settings of the layout.
        faces: how faces are cut; None for images that are cropped already.
        weights: YuNet's weight; without it a hash-checked file is downloaded once.
        frames: which frames of each video become images; None keeps a row per video.
        crops: folder for the images that ``faces`` and ``frames`` make.
        duplicates: whether an image that is the same file as another is dropped.
        progress: called with (files done, files in all).

    Returns:
        found, usable, no_face, unreadable, duplicate: found is the sum of the others. What is counted are images; of
        videos, the frames or clips that were wanted, and one for a video that cannot be read.

    Raises:
        InputError: a wrong or partial data set, a wrong option, an output that exists, or no usable image.
    """
    output = Path(output)
    chosen = get_layout(layout)
    values = resolve_options(chosen, options or {})
    if output.suffix not in (".parquet", ".csv"):
        raise InputError(f"{output}: a manifest is written as .parquet or .csv")
    refuse_existing(output, overwrite)
    if crops is None and (faces or frames):
        raise InputError("cutting faces or frames needs a folder to write them to; name one with --out")
    cutter = FaceCutter(faces, weights) if faces else None
    listing = chosen.read(Path(root), **values)

    table = listing.table.reset_index(drop=True)
    table["path"] = [os.path.abspath(path) for path in table["path"]]
    # Before hours of decoding: what no image can mend.
    check_manifest(Manifest(table, listing.labels, listing.groups), str(root))
    items = _items(table)
    if faces and not frames and any(item.is_video for item in items):
        raise InputError(f"{root}: it holds videos; say which of their frames to take, such as --frames 32")
    intake = Intake(listing.tree, cutter, frames, Path(os.path.abspath(crops)) if crops else None)
    crop = _crop_header(faces, weights, frames)
    settings = {"decode": DECODE_VERSION, "looks": 1, "crop": crop, "crops": str(intake.crops), "frames": str(frames)}

    outcomes: list[Outcome] = []
    with Journal(output.with_name(f".{output.name}.journal"), settings) as journal:
        for outcome in intake.take_all(items, journal):
            outcomes.append(outcome)
            if progress is not None:
                progress(len(outcomes), len(items))
    if duplicates == "drop":
        outcomes = mark_duplicates(list(table["path"]), list(table["split"]), outcomes)
    return _write(listing, table, outcomes, crop, output)


def leaks_file(output: Path) -> Path:
    """Where ``prepare`` lists the images of one split that look like one of another; absent where there are none."""
    return output.with_name(f"{output.stem}.leaks.csv")


def count_leaks(output: Path) -> int:
    """How many pairs of images that look the same stand in different splits."""
    listed = leaks_file(output)
    return len(pd.read_csv(listed)) if listed.is_file() else 0


def _leaks(kept: pd.DataFrame, outcomes: list[Outcome]) -> pd.DataFrame:
    """Pairs of images in different splits that look the same: their paths, splits and likeness."""
    seen = [piece.look for outcome in outcomes for piece in outcome.pieces if piece.status == "usable"]
    rows = [row for row, text in enumerate(seen) if text]
    images = kept.iloc[rows].reset_index(drop=True)
    if images.empty:
        return images
    pairs = find_leaks(images, find_copies(np.stack([from_text(seen[row]) for row in rows]))).images
    one, other = images.iloc[pairs["first"]], images.iloc[pairs["second"]]
    return pd.DataFrame(
        {
            "path": one["path"].to_numpy(),
            "split": one["split"].to_numpy(),
            "other_path": other["path"].to_numpy(),
            "other_split": other["split"].to_numpy(),
            "likeness": pairs["likeness"].round(4),
        }
    )


def _items(table: pd.DataFrame) -> list[Item]:
    masks = table["mask"] if "mask" in table else [""] * len(table)
    items = []
    for path, mask, *key in zip(table["path"], masks, *(table[column] for column in KEY), strict=True):
        dataset, method = safe_name(str(key[0])), safe_name(str(key[1]) or "original")
        mark = hashlib.sha256("\0".join(map(str, key)).encode(errors="surrogateescape")).hexdigest()[:10]
        items.append(Item(path, str(mask or ""), f"{dataset}/{method}/{safe_name(Path(path).stem)}-{mark}"))
    return items


def _crop_header(
    faces: FaceSettings | None, weights: Path | None, frames: FrameSettings | None
) -> dict[str, Any] | None:
    header: dict[str, Any] = {} if faces is None else faces.to_json()
    if faces is not None and faces.detector == "yunet" and weights is not None:
        header["weights"] = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    if frames is not None and frames.choice == "clips":
        header["clip"] = {"length": frames.length, "stride": frames.stride}
    return header or None


def _write(
    listing: Listing, table: pd.DataFrame, outcomes: list[Outcome], crop: dict[str, Any] | None, output: Path
) -> dict[str, int]:
    counts = Counter(piece.status for outcome in outcomes for piece in outcome.pieces)
    counts.update(left.status for left in listing.left_out)
    rejected = [
        (path, piece.reason, piece.status, split)
        for path, split, outcome in zip(table["path"], table["split"], outcomes, strict=True)
        for piece in outcome.pieces
        if piece.status != "usable"
    ] + [(left.path, left.reason, left.status, "") for left in listing.left_out]
    if not counts["usable"]:
        raise InputError(f"not one of the {len(rejected)} images can be used ({rejected[0][0]}: {rejected[0][1]})")

    kept = _rows(listing, table, outcomes)
    leaks = _leaks(kept, outcomes)
    kept["path"] = [_relative(path, output) for path in kept["path"]]
    account = {"found": sum(counts.values()), **{status: counts[status] for status in STATUSES}}
    with atomic_file(output.with_name(f"{output.stem}.rejected.csv")) as beside:
        pd.DataFrame(rejected, columns=["path", "reason", "status", "split"]).to_csv(beside, index=False)
    with atomic_file(output.with_name(f"{output.stem}.account.json")) as beside:
        beside.write_text(json.dumps(account, indent=1) + "\n")
    listed = leaks_file(output)
    if len(leaks):
        with atomic_file(listed) as beside:
            leaks.to_csv(beside, index=False)
    else:
        listed.unlink(missing_ok=True)
    for name, extra in listing.beside.items():
        with atomic_file(output.with_name(f"{output.stem}.{name}.csv")) as beside:
            extra.to_csv(beside, index=False)
    # Last, so that a manifest stands for a run that ended.
    write_manifest(Manifest(kept, listing.labels, listing.groups, crop), output)
    return account


def _rows(listing: Listing, table: pd.DataFrame, outcomes: list[Outcome]) -> pd.DataFrame:
    """The listing's rows, each as often as it has usable pieces, with the pieces' paths and frames."""
    usable = [
        (row, piece) for row, outcome in enumerate(outcomes) for piece in outcome.pieces if piece.status == "usable"
    ]
    columns = [column for label, what in listing.labels.items() for column in what.columns(label)]
    rows = table.loc[[row for row, _ in usable], list(dict.fromkeys([*COLUMNS, *columns, *listing.groups]))]
    rows = rows.reset_index(drop=True)
    rows["path"] = [piece.path for _, piece in usable]
    rows["frame"] = rows["frame"] + [piece.frame for _, piece in usable]
    if rows.duplicated(list(KEY)).any() and len({row for row, _ in usable}) < len(usable):
        # Several faces of one image.
        rows["frame"] = rows.groupby(list(KEY[:-1]), sort=False).cumcount()
    return rows


def _relative(path: str, output: Path) -> str:
    """Relative to the manifest where the image lies under its folder, so that both can move together."""
    folder = os.path.abspath(output.parent)
    inside = os.path.commonpath([folder, path]) == folder
    return Path(os.path.relpath(path, folder)).as_posix() if inside else path
