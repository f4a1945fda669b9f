"""Preparation of a data set: read its published form, check its files and write a manifest of the usable images.

Example::

    from auxface.data.prepare.prepare import prepare

    account = prepare("folder", Path("faces"), out=Path("faces.parquet"))
    account["usable"]
"""

import hashlib
import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from auxface.atomic import atomic_file, check_writable
from auxface.data.audio.decoding import check_audio_packages
from auxface.data.faces import FaceCropper, FaceSettings
from auxface.data.images.decode import DECODE_VERSION
from auxface.data.layouts import Listing, get_layout, resolve_options
from auxface.data.leaks import decode_thumbnail, find_leaks, find_near_duplicates
from auxface.data.manifest import (
    COLUMNS,
    KEY,
    Manifest,
    check_manifest,
    check_manifest_output,
    relative_path,
    write_manifest,
)
from auxface.data.manifest_notes import class_notes, repeated_row_notes
from auxface.data.media import is_video
from auxface.data.prepare.file_processing import (
    STATUSES,
    FileProcessor,
    FileResult,
    InputFile,
    reject_conflicting_labels,
    reject_duplicates,
    safe_name,
)
from auxface.data.prepare.journal import Journal
from auxface.data.video.frames import FrameSettings
from auxface.errors import InputError
from auxface.evaluation.csv_cells import escape_cells
from auxface.sample_kind import kind_of

Progress = Callable[[int, int], None]


def prepare(
    layout: str,
    root: Path,
    *,
    out: Path,
    overwrite: bool = False,
    options: Mapping[str, Any] | None = None,
    faces: FaceSettings | None = None,
    weights: Path | None = None,
    frames: FrameSettings | None = None,
    crops: Path | None = None,
    duplicates: Literal["drop", "keep"] = "drop",
    progress: Progress | None = None,
    warn: Callable[[str], None] = warnings.warn,
) -> dict[str, int]:
    """Read a data set, open each of its files once, and write a manifest of the usable images.

    Next to ``NAME.parquet``, the function writes ``NAME.account.json`` (the returned counts), ``NAME.rejected.csv``
    (path, reason, status, split, key and groups) and, if near-duplicate images are in different splits,
    ``NAME.leaks.csv``. An interrupted run resumes, since finished files are listed in a hidden journal next to the
    manifest.

    Args:
        layout: name of a layout; see :func:`auxface.data.layouts.layouts`.
        root: folder of the data set, or table file for layout ``table``.
        out: manifest to write, ``.parquet`` or ``.csv``.
        overwrite: whether to replace ``out`` if it exists.
        options: options of the layout, by name.
        faces: settings for cropping faces, or None if the images are already cropped.
        weights: YuNet's ONNX file; by default it is downloaded and its hash is verified.
        frames: settings that determine which frames of each video are extracted, or None to keep one row per video.
        crops: folder for the images written for ``faces``, ``frames`` and audio layouts.
        duplicates: whether to ``drop`` or ``keep`` image files with the same bytes as another file. With ``drop``, no
            copy is used if the labels of the copies differ.
        progress: function called with (files done, files in total).
        warn: function called with a note on files that are not used or seem wrong; defaults to :func:`warnings.warn`.

    Returns:
        Counts with the keys found, usable, no_face, unreadable, duplicate and conflicting_labels, where found is the
        sum of the others. For videos and audio files, the extracted images are counted, and a file that cannot be read
        counts as one.

    Raises:
        InputError: the data set is invalid or incomplete, an option is invalid, the output exists, or no image is
            usable.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> options = {"count": 60, "size": 64}
        >>> counts = auxface.prepare("synthetic", Path("faces"), out=Path("faces.parquet"), options=options)
        >>> counts["usable"]
        60
    """
    out = Path(out)
    chosen = get_layout(layout)
    values = resolve_options(chosen, options or {})
    check_manifest_output(out, overwrite)
    if crops is None and (faces or frames):
        raise InputError("cropping faces and extracting frames need a folder for the images; name one with --crops")
    if chosen.audio:
        if crops is None:
            raise InputError(f"layout {layout} writes log-mel images; name a folder for them with --crops")
        if faces or frames:
            raise InputError(f"layout {layout} reads audio, which has no faces or frames; remove --faces and --frames")
        check_audio_packages()
    if out.resolve() == Path(root).resolve():
        raise InputError(f"{out} is also the input of this command; choose another output")
    if crops is not None:
        check_writable(crops)
    cropper = FaceCropper(faces, weights) if faces else None
    listing = chosen.read(Path(root), **values)
    _refuse_foreign_tables(out, listing)

    table = listing.table.reset_index(drop=True)
    table["path"] = [os.path.abspath(path) for path in table["path"]]
    # Errors that do not depend on the images are reported before hours of decoding.
    listed = Manifest(table, listing.labels, listing.groups)
    check_manifest(listed, str(root))
    files = _input_files(table)
    if faces and not frames and any(is_video(file.path) for file in files):
        raise InputError(f"{root}: the data set has videos; choose how many frames to extract, such as --frames 32")
    place = Path(os.path.abspath(crops)) if crops else None
    processor = FileProcessor(listing.boundary, cropper, frames, place, listing.spectrogram)
    crop = _crop_header(faces, weights, frames)
    if listing.spectrogram is not None:
        crop = {"spectrogram": listing.spectrogram.to_json()}
    settings = {
        "decode": DECODE_VERSION,
        "thumbnails": 1,
        "crop": crop,
        "crops": str(processor.crops),
        "frames": str(frames),
    }

    results: list[FileResult] = []
    with Journal(_journal_file(out), settings, warn) as journal:
        for result in processor.process_all(files, journal):
            results.append(result)
            if progress is not None:
                progress(len(results), len(files))
    _note_animations(files, results, warn)
    # Layouts may name an identity after its file, so that copies of a file have different identities.
    compared = {label: what for label, what in listing.labels.items() if what.kind != "identity"}
    columns = dict.fromkeys(column for label, what in compared.items() for column in what.columns(label))
    checked = reject_conflicting_labels(list(table["path"]), table[list(columns)], results)
    _note_conflicting_labels(table, checked, duplicates, warn)
    if duplicates == "drop":
        results = reject_duplicates(list(table["path"]), list(table["split"]), checked)
    account, written = _write(listing, table, results, crop, out)
    for note in (*repeated_row_notes(listed), *class_notes(written)):
        warn(note)
    return account


def _note_animations(files: list[InputFile], results: list[FileResult], warn: Callable[[str], None]) -> None:
    animated = [(file.path, one.unread_frames) for file, one in zip(files, results, strict=True) if one.unread_frames]
    if animated:
        path, count = animated[0]
        images = "image" if len(animated) == 1 else "images"
        warn(
            f"only the first frame of {len(animated)} animated {images} is used; {sum(n for _, n in animated)} more "
            f"frames are ignored (such as {count} of {path})"
        )


def _note_conflicting_labels(
    table: pd.DataFrame, checked: list[FileResult], duplicates: str, warn: Callable[[str], None]
) -> None:
    found = [
        (path, one.samples[0].reason)
        for path, one in zip(table["path"], checked, strict=True)
        if one.samples[0].status == "conflicting_labels"
    ]
    if found:
        path, reason = found[0]
        outcome = "are not used" if duplicates == "drop" else "are used, since duplicates are kept"
        warn(
            f"{len(found):,} files are identical to a file with another label and {outcome} (such as {path}: {reason})"
        )


def leaks_file(manifest: Path) -> Path:
    """Return the path to which ``prepare`` writes near-duplicate images in different splits, if any."""
    return manifest.with_name(f"{manifest.stem}.leaks.csv")


def count_leaks(manifest: Path) -> int:
    """Return the number of pairs of near-duplicate images in different splits of a prepared manifest."""
    listed = leaks_file(manifest)
    return len(pd.read_csv(listed)) if listed.is_file() else 0


def _journal_file(manifest: Path) -> Path:
    return manifest.with_name(f".{manifest.name}.journal")


def _refuse_foreign_tables(out: Path, listing: Listing) -> None:
    """Raise an error if a file next to the manifest would be replaced although no run of ``prepare`` wrote it."""
    if _journal_file(out).is_file():
        return
    for name in ("rejected.csv", "account.json", "leaks.csv", *(f"{name}.csv" for name in listing.extra_tables)):
        path = out.with_name(f"{out.stem}.{name}")
        if os.path.lexists(path):
            raise InputError(
                f"{path} was not written by auxface and would be replaced; move it elsewhere or choose another output"
            )


def _input_files(table: pd.DataFrame) -> list[InputFile]:
    masks = table["mask"] if "mask" in table else [""] * len(table)
    files = []
    for path, mask, *key in zip(table["path"], masks, *(table[column] for column in KEY), strict=True):
        dataset, method = safe_name(str(key[0])), safe_name(str(key[1]) or "original")
        mark = hashlib.sha256("\0".join(map(str, key)).encode(errors="surrogateescape")).hexdigest()[:10]
        files.append(InputFile(path, str(mask or ""), f"{dataset}/{method}/{safe_name(Path(path).stem)}-{mark}"))
    return files


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
    listing: Listing, table: pd.DataFrame, results: list[FileResult], crop: dict[str, Any] | None, out: Path
) -> tuple[dict[str, int], Manifest]:
    counts = Counter(sample.status for result in results for sample in result.samples)
    counts.update(excluded.status for excluded in listing.excluded)
    # The key and groups of images without a face show how often detection fails in each group.
    facts = list(dict.fromkeys([*KEY, *listing.groups]))
    rejected = [
        (path, sample.reason, sample.status, split, *known)
        for path, split, result, known in zip(
            table["path"], table["split"], results, table[facts].itertuples(index=False), strict=True
        )
        for sample in result.samples
        if sample.status != "usable"
    ] + [(excluded.path, excluded.reason, excluded.status, "", *[None] * len(facts)) for excluded in listing.excluded]
    if not counts["usable"]:
        unit = kind_of(crop).images
        raise InputError(f"none of the {len(rejected)} {unit} can be used ({rejected[0][0]}: {rejected[0][1]})")

    rows = _usable_rows(listing, table, results)
    rows["path"] = [relative_path(path, out) for path in rows["path"]]
    leaks = _leaks(rows, results)
    account = {"found": sum(counts.values()), **{status: counts[status] for status in STATUSES}}
    with atomic_file(out.with_name(f"{out.stem}.rejected.csv")) as temporary:
        # With the dtype object, integers next to empty cells remain integers.
        listed_rows = pd.DataFrame(rejected, columns=["path", "reason", "status", "split", *facts], dtype=object)
        listed_rows["path"] = [relative_path(os.path.abspath(path), out) for path in listed_rows["path"]]
        escape_cells(listed_rows).to_csv(temporary, index=False)
    with atomic_file(out.with_name(f"{out.stem}.account.json")) as temporary:
        temporary.write_text(json.dumps(account, indent=1) + "\n")
    listed = leaks_file(out)
    if len(leaks):
        with atomic_file(listed) as temporary:
            escape_cells(leaks).to_csv(temporary, index=False)
    else:
        listed.unlink(missing_ok=True)
    for name, extra in listing.extra_tables.items():
        with atomic_file(out.with_name(f"{out.stem}.{name}.csv")) as temporary:
            escape_cells(extra).to_csv(temporary, index=False)
    # The manifest is written last, so it exists only after a complete run.
    manifest = Manifest(rows, listing.labels, listing.groups, crop)
    write_manifest(manifest, out)
    return account, manifest


def _usable_rows(listing: Listing, table: pd.DataFrame, results: list[FileResult]) -> pd.DataFrame:
    """Return the rows of a listing, repeated for each usable sample, with the paths and frames of the samples."""
    usable = [
        (row, sample) for row, result in enumerate(results) for sample in result.samples if sample.status == "usable"
    ]
    columns = [column for label, what in listing.labels.items() for column in what.columns(label)]
    rows = table.loc[[row for row, _ in usable], list(dict.fromkeys([*COLUMNS, *columns, *listing.groups]))]
    rows = rows.reset_index(drop=True)
    rows["path"] = [sample.path for _, sample in usable]
    rows["frame"] = rows["frame"] + [sample.frame for _, sample in usable]
    if rows.duplicated(list(KEY)).any() and len({row for row, _ in usable}) < len(usable):
        # An image may contain several faces.
        rows["frame"] = rows.groupby(list(KEY[:-1]), sort=False).cumcount()
    return rows


def _leaks(rows: pd.DataFrame, results: list[FileResult]) -> pd.DataFrame:
    """Return near-duplicate images in different splits: path, split, other_path, other_split and correlation."""
    encoded = [sample.thumbnail for result in results for sample in result.samples if sample.status == "usable"]
    known = [row for row, text in enumerate(encoded) if text]
    images = rows.iloc[known].reset_index(drop=True)
    if images.empty:
        return images
    pairs = find_near_duplicates(np.stack([decode_thumbnail(encoded[row]) for row in known]))
    pairs = find_leaks(images, pairs).images
    one, other = images.iloc[pairs["first"]], images.iloc[pairs["second"]]
    return pd.DataFrame(
        {
            "path": one["path"].to_numpy(),
            "split": one["split"].to_numpy(),
            "other_path": other["path"].to_numpy(),
            "other_split": other["split"].to_numpy(),
            "correlation": pairs["correlation"].round(4),
        }
    )
