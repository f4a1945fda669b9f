"""Layout ``folder``: images or videos in one folder per class, optionally inside one folder per split."""

import re
from pathlib import Path

import pandas as pd

from auxface.data.layouts.registry import Excluded, Layout, Listing, Option, list_files, list_media, require_root
from auxface.data.manifest import Label
from auxface.data.media import is_video, printable
from auxface.data.splits import DEFAULT, SPLIT_NAMES, parse_fractions, split_by_source
from auxface.errors import InputError

_OUTSIDE = "not in the folder of a class"


def read(
    root: Path,
    *,
    label: str = "class",
    classes: str | None = None,
    source_pattern: str | None = None,
    dataset: str | None = None,
    split_fractions: str = DEFAULT,
) -> Listing:
    """Read ``ROOT/CLASS/...`` or ``ROOT/SPLIT/CLASS/...``; :data:`layout` describes the options."""
    require_root(root, "folder")
    folders = [folder.name for folder in _folders(root)]
    splits = {name: SPLIT_NAMES[name.lower()] for name in folders if name.lower() in SPLIT_NAMES}
    strays = [name for name in folders if name not in splits]
    if splits and strays:
        raise InputError(
            f"{root}: folder '{strays[0]}' is next to the splits ({', '.join(splits)}); expected class folders inside "
            "the splits"
        )
    places = [(root / name, split) for name, split in splits.items()] or [(root, "")]
    found: list[dict[str, str]] = []
    excluded: list[Excluded] = []
    for place, split in places:
        for folder in _folders(place):
            for path, is_media in list_media(folder):
                inside = path.relative_to(root).as_posix()
                if printable(path) != str(path):
                    reason = "its name is not UTF-8 and cannot be stored in a manifest; rename the file"
                    excluded.append(Excluded(printable(path), "unreadable", reason))
                elif is_media:
                    found.append({"path": str(path), "split": split, label: folder.name, "inside": inside})
                else:
                    excluded.append(Excluded(str(path), "unreadable", "not an image or video"))
    for place in dict.fromkeys([root, *(place for place, _ in places)]):
        for path in list_files(place, ("",), below=False):
            excluded.append(Excluded(str(path), "unreadable", _OUTSIDE))
    if not found:
        outside = [one for one in excluded if one.reason == _OUTSIDE]
        beside = (
            f" in class folders; {len(outside):,} {'file is' if len(outside) == 1 else 'files are'} outside of them, "
            f"such as {Path(outside[0].path).name}"
            if outside
            else ""
        )
        raise InputError(
            f"{root}: no images or videos{beside}; expected ROOT/CLASS/FILE or ROOT/SPLIT/CLASS/FILE; if a table "
            "contains the labels, use auxface prepare table"
        )
    table = pd.DataFrame(found)
    names = _classes(classes, sorted(table[label].unique()), root)

    videos = table["path"].map(is_video)
    table["video"] = table["inside"].where(videos, "")
    table["source"] = table["inside"] if source_pattern is None else _sources(table["inside"], source_pattern)
    table["dataset"], table["method"] = dataset or root.resolve().name, ""
    table["frame"] = table.groupby(["source", "video"], sort=False).cumcount()
    if not splits:
        table["split"] = split_by_source(table["source"], parse_fractions(split_fractions))
    labels = {label: Label("class", names)}
    return Listing(table.drop(columns="inside"), labels, excluded=tuple(excluded), boundary=root)


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX")))


def _classes(given: str | None, found: list[str], root: Path) -> tuple[str, ...]:
    names: tuple[str, ...] = tuple(name.strip() for name in given.split(",")) if given else tuple(found)
    for name in found:
        if name not in names:
            raise InputError(f"{root}: the folder '{name}' is not one of the classes {', '.join(names)}")
    if len(names) < 2:
        raise InputError(f"{root}: only class '{', '.join(names)}' was found; expected two or more class folders")
    return names


def _sources(inside: pd.Series, pattern: str) -> pd.Series:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError(f"source_pattern '{pattern}': not a regular expression ({error})") from None
    if expression.groups < 1:
        raise InputError(f"source_pattern '{pattern}': expected a group in parentheses that matches the source")
    matches = [expression.search(text) for text in inside]
    for text, match in zip(inside, matches, strict=True):
        if match is None:
            raise InputError(f"source_pattern '{pattern}': does not match {text}")
    return pd.Series([match[1] or "" for match in matches if match is not None], inside.index)


layout = Layout(
    "folder",
    "images or videos in one folder per class, optionally inside one folder per split",
    read,
    (
        Option("label", str, "class", "name of the label"),
        Option("classes", str, None, "class names in order, separated by commas; default: the folder names, sorted"),
        Option("source_pattern", str, None, "regular expression for CLASS/FILE; its group is the source"),
        Option("dataset", str, None, "name of the data set; default: the folder's name"),
        Option("split_fractions", str, DEFAULT, "fractions train,val,test if there are no split folders, by source"),
    ),
)
