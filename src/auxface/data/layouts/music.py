"""Layouts of music data sets: MagnaTagATune and MTG-Jamendo as published, a table of tracks, and a folder of tracks.

Each row is a track (in MagnaTagATune, a clip of a track), and ``prepare`` writes a log-mel image for each
excerpt. Tags form the multilabel label ``tags``. The column ``video`` names the track, so that confidence intervals
are computed over tracks. The identity label ``track`` combines source and track.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from auxface.data.audio.decoding import AUDIO_SUFFIXES
from auxface.data.audio.spectrogram import SpectrogramSettings
from auxface.data.layouts.registry import (
    Excluded,
    Layout,
    Listing,
    Option,
    list_files,
    require_file,
    require_folder,
    require_root,
)
from auxface.data.layouts.table import layout as table_layout
from auxface.data.layouts.table import read as read_table
from auxface.data.layouts.table import read_text_table
from auxface.data.manifest import COLUMNS, Label
from auxface.data.media import printable
from auxface.data.splits import DEFAULT, parse_fractions, split_by_source
from auxface.errors import InputError

_DEFAULTS = SpectrogramSettings()
EXCERPT_OPTIONS = (
    Option("excerpts", int, _DEFAULTS.excerpts, "maximum number of excerpts per track"),
    Option("seconds", float, _DEFAULTS.seconds, "length of an excerpt in seconds"),
    Option("size", int, _DEFAULTS.size, "side of the log-mel images: number of mel bands and of time steps"),
)
"""Options common to all music layouts."""
TRACK = "track"
_TABLE_OPTIONS = ("label", "group", "path", "split", "source", "dataset", "split_fractions")
# Most publications on MagnaTagATune use this split by folder.
_MAGNATAGATUNE_SPLITS = dict.fromkeys("0123456789ab", "train") | {"c": "val"} | dict.fromkeys("def", "test")
_JAMENDO_SPLITS = {"train": "train", "validation": "val", "test": "test"}
_JAMENDO_SUBSETS = ("top50tags", "genre", "instrument", "moodtheme", "all")


def read_magnatagatune(
    root: Path,
    *,
    tags: int = 50,
    excerpts: int = _DEFAULTS.excerpts,
    seconds: float = _DEFAULTS.seconds,
    size: int = _DEFAULTS.size,
) -> Listing:
    """Read annotations_final.csv and the clips ``0/NAME.mp3`` to ``f/NAME.mp3``; a clip's source is its track."""
    listed = require_file(root, ("annotations_final.csv",), "magnatagatune")
    try:
        table = pd.read_csv(listed, sep="\t", dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{listed}: not a readable table ({str(error).splitlines()[0]})") from None
    if list(table.columns[[0, -1]]) != ["clip_id", "mp3_path"] or len(table.columns) < 3:
        raise InputError(f"{listed}: expected the column clip_id, one column per tag and mp3_path, separated by tabs")
    columns = list(table.columns[1:-1])
    rows = []
    for number, (path, *marks) in enumerate(zip(table["mp3_path"], *(table[name] for name in columns)), start=2):
        match = re.fullmatch(r"([0-9a-f])/(.+?)(?:-(\d+)-\d+)?\.mp3", path)
        if match is None:
            raise InputError(f"{listed}: line {number} has mp3_path '{path}'; expected 0/NAME-START-END.mp3 to f/...")
        if not set(marks) <= {"0", "1"}:
            raise InputError(f"{listed}: line {number} has a tag that is neither 0 nor 1")
        row = {"path": str(root / path), "split": _MAGNATAGATUNE_SPLITS[match[1]], "source": match[2]}
        # Clips of the same track differ in their start times.
        start = 1000 * int(match[3] or 0)
        tagged = [name for name, mark in zip(columns, marks, strict=True) if mark == "1"]
        rows.append(row | {"video": match[2], "frame": start, "tags": tagged})
    settings = SpectrogramSettings(excerpts, seconds, size)
    return _listing(pd.DataFrame(rows), "magnatagatune", settings, str(listed), most=tags, boundary=root)


def read_jamendo(
    root: Path,
    *,
    audio: str = "audio",
    subset: str = "top50tags",
    split: int = 0,
    excerpts: int = _DEFAULTS.excerpts,
    seconds: float = _DEFAULTS.seconds,
    size: int = _DEFAULTS.size,
) -> Listing:
    """Read data/splits/split-N/autotagging_SUBSET-*.tsv and the tracks in AUDIO; the source is the artist."""
    require_root(root, "mtg_jamendo")
    name = "autotagging" if subset == "all" else f"autotagging_{subset}"
    folder = require_folder(root, (f"data/splits/split-{split}",), "mtg_jamendo")
    place = require_folder(root, (audio,), "mtg_jamendo")
    rows = []
    for part, own in _JAMENDO_SPLITS.items():
        listed = require_file(folder, (f"{name}-{part}.tsv",), "mtg_jamendo")
        with listed.open(encoding="utf-8", newline="") as lines:
            cells = list(csv.reader(lines, delimiter="\t"))
        if not cells or cells[0] != ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]:
            raise InputError(f"{listed}: expected the columns TRACK_ID, ARTIST_ID, ALBUM_ID, PATH, DURATION, TAGS")
        for number, line in enumerate(cells[1:], start=2):
            if len(line) < 6:
                raise InputError(f"{listed}: line {number} has {len(line)} cells; expected at least 6")
            track, artist, _, path = line[:4]
            rows.append({"path": str(_jamendo_file(place, path)), "split": own, "source": artist} | {
                "video": track, "frame": 0, "tags": line[5:]})  # fmt: skip
    if not rows:
        raise InputError(f"{folder}: the lists of {name} contain no tracks")
    settings = SpectrogramSettings(excerpts, seconds, size)
    return _listing(pd.DataFrame(rows), "mtg_jamendo", settings, str(folder), boundary=root)


def _jamendo_file(place: Path, path: str) -> Path:
    """Return the file of a track, which is named NAME.low.mp3 in the smaller distribution of the data set."""
    low = place / PurePosixPath(path).with_suffix(".low.mp3")
    return low if low.is_file() else place / path


def read_tracks(
    root: Path,
    *,
    tags: str | None = None,
    label: Sequence[str] = (),
    group: Sequence[str] = (),
    path: str = "path",
    split: str | None = None,
    source: str | None = None,
    dataset: str | None = None,
    split_fractions: str = DEFAULT,
    excerpts: int = _DEFAULTS.excerpts,
    seconds: float = _DEFAULTS.seconds,
    size: int = _DEFAULTS.size,
) -> Listing:
    """Read a table of tracks at ``root``; :data:`tracks` describes the options."""
    if root.is_dir():
        raise InputError(
            f"{root} is a folder, but layout 'tracks' reads a table of tracks; for a folder, use layout 'track_folder'"
        )
    given = read_table(
        root, label=label, group=group, path=path, split=split, source=source, dataset=dataset,
        split_fractions=split_fractions,
    )  # fmt: skip
    rows = given.table.drop(columns="frame").assign(frame=0)
    rows["video"] = [PurePosixPath(each).stem for each in rows["path"]]
    if rows.duplicated(["dataset", "source", "video"]).any():
        rows["video"] = rows["path"]
    if tags is not None:
        cells = read_text_table(root)
        if tags not in cells:
            raise InputError(f"{root}: column '{tags}' is missing; columns: {', '.join(cells.columns)}")
        rows["tags"] = [[tag.strip() for tag in (cell or "").split(";") if tag.strip()] for cell in cells[tags]]
    settings = SpectrogramSettings(excerpts, seconds, size)
    return _listing(rows, None, settings, str(root), labels=given.labels, groups=given.groups)


def read_track_folder(
    root: Path,
    *,
    label: str = "class",
    dataset: str | None = None,
    split_fractions: str = DEFAULT,
    excerpts: int = _DEFAULTS.excerpts,
    seconds: float = _DEFAULTS.seconds,
    size: int = _DEFAULTS.size,
) -> Listing:
    """Read all audio files below ``root``; if it contains two or more folders, each folder is a class."""
    require_root(root, "track_folder")
    rows, excluded = [], []
    for path in list_files(root, ("",)):
        inside = path.relative_to(root)
        if printable(path) != str(path):
            reason = "its name is not UTF-8 and cannot be stored in a manifest; rename the file"
            excluded.append(Excluded(printable(path), "unreadable", reason))
        elif path.suffix.lower() in AUDIO_SUFFIXES:
            row = {"path": str(path), "source": inside.as_posix(), "video": inside.as_posix(), "frame": 0}
            rows.append(row | {label: inside.parts[0] if len(inside.parts) > 1 else None})
        else:
            excluded.append(Excluded(str(path), "unreadable", f"not an audio file ({', '.join(AUDIO_SUFFIXES)})"))
    if not rows:
        raise InputError(f"{root}: there are no audio files ({', '.join(AUDIO_SUFFIXES)})")
    table = pd.DataFrame(rows)
    table["split"] = split_by_source(table["source"], parse_fractions(split_fractions))
    classes = tuple(sorted(table[label].dropna().unique()))
    labels = {label: Label("class", classes)} if len(classes) > 1 else {}
    settings = SpectrogramSettings(excerpts, seconds, size)
    return _listing(
        table, dataset or root.resolve().name, settings, str(root), labels=labels, excluded=excluded, boundary=root
    )


def _listing(
    rows: pd.DataFrame,
    dataset: str | None,
    settings: SpectrogramSettings,
    name: str,
    *,
    labels: Mapping[str, Label] | None = None,
    groups: tuple[str, ...] = (),
    excluded: Iterable[Excluded] = (),
    most: int | None = None,
    boundary: Path | None = None,
) -> Listing:
    """Return the listing of tracks, keeping only the ``most`` most frequent tags of the column ``tags``.

    Raises:
        InputError: a tag has the name of another column, or there are no tags.
    """
    made = dict(labels or {})
    if "tags" in rows:
        counts = Counter(tag for each in rows["tags"] for tag in set(each))
        names = sorted(sorted(counts), key=lambda tag: -counts[tag])[:most]
        if not names:
            raise InputError(f"{name}: no track has a tag")
        for tag in names:
            if tag in (*COLUMNS, *rows.columns, TRACK):
                raise InputError(f"{name}: the tag '{tag}' has the name of a column; rename the tag")
        marks = {tag: [int(tag in each) for each in rows["tags"]] for tag in sorted(names)}
        rows = pd.concat([rows.drop(columns="tags"), pd.DataFrame(marks, index=rows.index)], axis=1)
        made["tags"] = Label("multilabel", tuple(sorted(names)))
    rows = rows.assign(method="", **{TRACK: rows["source"] + "/" + rows["video"]})
    if dataset is not None:
        rows["dataset"] = dataset
    made.setdefault(TRACK, Label("identity"))
    return Listing(rows, made, groups, excluded=tuple(excluded), boundary=boundary, spectrogram=settings)


magnatagatune = Layout(
    "magnatagatune",
    "MagnaTagATune: clips of 29 seconds with tags; the split by folder that most publications use",
    read_magnatagatune,
    (Option("tags", int, 50, "number of tags to keep, in order of frequency"), *EXCERPT_OPTIONS),
    audio=True,
)
mtg_jamendo = Layout(
    "mtg_jamendo",
    "MTG-Jamendo: full tracks with tags for genre, instrument, mood and theme; one of the published splits",
    read_jamendo,
    (
        Option("audio", str, "audio", "folder of the audio files, relative to ROOT"),
        Option("subset", str, "top50tags", "published list of tracks and tags", _JAMENDO_SUBSETS),
        Option("split", int, 0, "number of the published split, 0 to 4"),
        *EXCERPT_OPTIONS,
    ),
    audio=True,
)
tracks = Layout(
    "tracks",
    "a CSV or Parquet list of audio files; paths are absolute or relative to its folder",
    read_tracks,
    (
        Option("tags", str, None, "column with the tags of a track, separated by semicolons"),
        *(option for option in table_layout.options if option.name in _TABLE_OPTIONS),
        *EXCERPT_OPTIONS,
    ),
    audio=True,
)
track_folder = Layout(
    "track_folder",
    "all audio files below a folder; if it has two or more direct subfolders, each is a class",
    read_track_folder,
    (
        Option("label", str, "class", "name of the label of the folders"),
        Option("dataset", str, None, "name of the data set; default: the folder's name"),
        Option("split_fractions", str, DEFAULT, "fractions train,val,test; split by track"),
        *EXCERPT_OPTIONS,
    ),
    audio=True,
)
