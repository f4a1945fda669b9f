"""Layout ``faceforensics``: FaceForensics++ (Rössler et al., 2019), FaceShifter and Google's DeepFakeDetection.

A forged video ``000_003`` shows video 000 with the face of 003. The official splits keep such a pair together.
The pair is therefore the source of both originals and both forgeries, and no identity is in two splits.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from auxface.data.layouts.registry import Excluded, Layout, Listing, Option, list_files, require_file, require_folder
from auxface.data.manifest import Label
from auxface.errors import InputError

METHODS: tuple[str, ...] = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter", "DeepFakeDetection")
FORGED = Label("binary", ("real", "fake"))
_COMPRESSIONS = {"c0": ("c0", "raw"), "c23": ("c23",), "c40": ("c40",)}
_DFD = "DeepFakeDetection"


def read(
    root: Path,
    *,
    compression: str = "c23",
    methods: Sequence[str] = METHODS[:4],
    splits: str | None = None,
) -> Listing:
    """Read FaceForensics++ from ``root``, which contains ``original_sequences`` and ``manipulated_sequences``."""
    rows: list[dict[str, object]] = []
    if set(methods) - {_DFD}:
        rows += _originals(root, compression)
    for method in methods:
        rows += _dfd(root, compression) if method == _DFD else _forgeries(root, compression, method)
    table = pd.DataFrame(rows)
    youtube = table["split"] == ""
    excluded: list[Excluded] = []
    if youtube.any():
        places = _read_splits(root, Path(splits) if splits else None)
        excluded = _missing(table[youtube], places)
        _place(table, youtube, places)
    table = table.assign(dataset="faceforensics", frame=0)
    return Listing(table, {"forged": FORGED}, excluded=tuple(excluded), boundary=root)


def _missing(table: pd.DataFrame, places: dict[str, tuple[str, str]]) -> list[Excluded]:
    """Return the videos in the split files that do not exist, so that a partial copy is reported."""
    reason = "no such file, but the split files list it"
    excluded: list[Excluded] = []
    for method, rows in table.groupby("method"):
        folder, have = Path(rows["path"].iloc[0]).parent, set(rows["video"])
        pairs = [pair.split("_") for _, pair in places.values()]
        names = {f"{one}_{other}" for one, other in pairs} | {f"{other}_{one}" for one, other in pairs}
        expected = names if method else set(places)
        excluded += [Excluded(str(folder / f"{name}.mp4"), "unreadable", reason) for name in sorted(expected - have)]
    return excluded


def _videos(root: Path, folder: str, compression: str) -> list[Path]:
    places = [f"{folder}/{name}/videos" for name in _COMPRESSIONS[compression]]
    found = list(list_files(require_folder(root, places, "faceforensics"), (".mp4",)))
    if not found:
        raise InputError(f"{root}: no videos in {places[0]}")
    return found


def _row(path: Path, source: str, method: str, forged: int, split: str = "", mask: str = "") -> dict[str, object]:
    return {
        "path": str(path), "split": split, "source": source, "video": path.stem, "method": method, "forged": forged,
        "mask": mask,
    }  # fmt: skip


def _originals(root: Path, compression: str) -> list[dict[str, object]]:
    return [_row(path, path.stem, "", 0) for path in _videos(root, "original_sequences/youtube", compression)]


def _forgeries(root: Path, compression: str, method: str) -> list[dict[str, object]]:
    masks = root / "manipulated_sequences" / method / "masks" / "videos"
    rows = []
    for path in _videos(root, f"manipulated_sequences/{method}", compression):
        if len(path.stem.split("_")) != 2:
            raise InputError(f"{path}: a forged video must be named after its two originals, such as 000_003.mp4")
        mask = masks / path.name
        rows.append(_row(path, path.stem, method, 1, mask=str(mask) if mask.is_file() else ""))
    return rows


def _dfd(root: Path, compression: str) -> list[dict[str, object]]:
    # There are no official splits, and all 28 actors are swapped with each other. No split can separate the identities,
    # so all videos are test videos.
    masks = root / "manipulated_sequences" / _DFD / "masks" / "videos"
    rows = [
        _row(path, f"actor {path.stem.split('_')[0]}", "", 0, "test")
        for path in _videos(root, "original_sequences/actors", compression)
    ]
    for path in _videos(root, f"manipulated_sequences/{_DFD}", compression):
        mask = masks / path.name
        source = f"actor {path.stem.split('_')[0]}"
        rows.append(_row(path, source, _DFD, 1, "test", str(mask) if mask.is_file() else ""))
    return rows


def _read_splits(root: Path, folder: Path | None) -> dict[str, tuple[str, str]]:
    """Return the split and the pair of each original video."""
    places: dict[str, tuple[str, str]] = {}
    for split in ("train", "val", "test"):
        names = (f"{split}.json",) if folder else (f"splits/{split}.json", f"dataset/splits/{split}.json")
        file = require_file(folder or root, names, "faceforensics")
        try:
            pairs = [(str(first), str(second)) for first, second in json.loads(file.read_text())]
        except (ValueError, TypeError):
            raise InputError(f"{file}: expected a list of pairs of video numbers") from None
        for pair in pairs:
            for video in pair:
                if video in places:
                    raise InputError(
                        f"{file}: video {video} is in two pairs; expected each video once, as in the official files"
                    )
                places[video] = (split, "_".join(sorted(pair)))
    return places


def _place(table: pd.DataFrame, youtube: pd.Series, places: dict[str, tuple[str, str]]) -> None:
    for row in table.index[youtube]:
        video = str(table.at[row, "video"])
        known = [places.get(part) for part in video.split("_")]
        if None in known:
            raise InputError(f"{table.at[row, 'path']}: video {video} is in none of the official split files")
        first = known[0]
        if any(place != first for place in known):
            raise InputError(f"{table.at[row, 'path']}: the official split files do not pair its two originals")
        assert first is not None
        table.at[row, "split"], table.at[row, "source"] = first


layout = Layout(
    "faceforensics",
    "FaceForensics++: real and forged videos by method, official splits, masks if downloaded",
    read,
    (
        Option("compression", str, "c23", "compression level of the videos", tuple(_COMPRESSIONS)),
        Option(
            "methods",
            tuple,
            METHODS[:4],
            "forgery methods; all videos of DeepFakeDetection are in the test split",
            METHODS,
        ),
        Option("splits", str, None, "folder with train.json, val.json and test.json; default ROOT/splits"),
    ),
)
