"""Layouts of deepfake data sets: Celeb-DF, DF40, DFDC and UADFV.

Layout ``celebdf``: Celeb-DF, versions 1 and 2 (Li et al., 2020), celebrity videos and face swaps between them.

A forged video ``id0_id1_0003`` is the real video ``id0_0003`` with the face of id1, so ``id0_0003`` is its source. The
official test list contains forgeries whose original is not on the list. Videos that share a source with the test split
are counted and excluded from training, unless ``source="video"`` makes each video its own source.

Layout ``df40``: DF40 (Yan et al., 2024), the published face crops, organized by method and domain.

Most methods contain only forgeries; the corresponding real images are those of FaceForensics++ and Celeb-DF. The
methods held out for testing have ``real`` and ``fake`` folders.

Layout ``dfdc``: the Deepfake Detection Challenge (Dolhansky et al., 2020), as published in parts.

Layout ``uadfv``: UADFV (Li, Chang and Lyu, 2018), 49 real videos and a face swap of each.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from auxface.data.layouts.faceforensics import FORGED
from auxface.data.layouts.registry import (
    Excluded,
    Layout,
    Listing,
    Option,
    list_files,
    read_lines,
    require_file,
    require_folder,
    require_root,
)
from auxface.data.splits import DEFAULT, parse_fractions, split_by_source, split_validation
from auxface.errors import InputError

_CELEBDF_FOLDERS = {"Celeb-real": 0, "YouTube-real": 0, "Celeb-synthesis": 1}
_CELEBDF_TEST = "List_of_testing_videos.txt"


def read_celebdf(root: Path, *, source: str = "original", val_fraction: float = 0.15) -> Listing:
    """Read Celeb-DF, version 1 or 2, from the folder ``root``."""
    test = _celebdf_test_list(require_file(root, (_CELEBDF_TEST,), "celebdf"))
    rows = []
    for folder, forged in _CELEBDF_FOLDERS.items():
        for path in list_files(require_folder(root, (folder,), "celebdf"), (".mp4",)):
            name = f"{folder}/{path.name}"
            own = path.stem if folder != "YouTube-real" else f"youtube_{path.stem}"
            swap = re.fullmatch(r"(id\d+)_(id\d+)_(\d+)", path.stem)
            if forged and swap is None:
                raise InputError(f"{path}: not the name of a forged video; expected a name such as id0_id1_0003.mp4")
            original = f"{swap[1]}_{swap[3]}" if forged and swap and source == "original" else own
            rows.append(
                {"path": str(path), "split": "test" if name in test else "train", "source": original, "video": own}
                | {"method": "Celeb-DF" if forged else "", "forged": forged}
            )
    missing = [name for name in test if not (root / name).is_file()]
    if not rows or len(missing) == len(test):
        raise InputError(f"{root}: none of the videos listed in {_CELEBDF_TEST} exists")
    table = pd.DataFrame(rows).assign(dataset="celebdf", frame=0)
    rest = table["split"] == "train"
    leaks = rest & table["source"].isin(table.loc[~rest, "source"])
    excluded = [
        Excluded(str(row.path), "duplicate", f"its original {row.source} is also the source of a test video")
        for row in table[leaks].itertuples()
    ] + [Excluded(str(root / name), "unreadable", f"no such file, but {_CELEBDF_TEST} lists it") for name in missing]
    table = table[~leaks].reset_index(drop=True)
    table["split"] = split_validation(table["split"], table["source"], val_fraction)
    return Listing(table, {"forged": FORGED}, excluded=tuple(excluded), boundary=root)


def _celebdf_test_list(path: Path) -> dict[str, int]:
    test = {}
    for line in read_lines(path):
        parts = line.split()
        if len(parts) != 2 or parts[0] not in "01" or parts[1].split("/")[0] not in _CELEBDF_FOLDERS:
            raise InputError(f"{path}: line '{line}'; expected 0 or 1 and a video such as Celeb-real/id0_0001.mp4")
        # In this file, 1 means real. The label is taken from the folder, which provides the same information.
        test[parts[1]] = int(parts[0])
    return test


celebdf = Layout(
    "celebdf",
    "Celeb-DF v1 or v2: real and forged videos, official test list",
    read_celebdf,
    (
        Option(
            "source", str, "original", "source of a forgery: its original, or the video itself", ("original", "video")
        ),
        Option("val_fraction", float, 0.15, "fraction of the training sources that is used for validation"),
    ),
)


_DF40_PLACES = {"DF40_train": "train", "train": "train", "DF40": "test", "DF40_test": "test", "test": "test"}
_DF40_DOMAINS = ("ff", "ffpp", "cdf", "cdfv2")
_DF40_IGNORED = ("frames", "inversions", "real", "fake", *_DF40_DOMAINS)


def read_df40(root: Path, *, methods: Sequence[str] = (), val_fraction: float = 0.1) -> Listing:
    """Read DF40 from the folders ``DF40_train`` and ``DF40`` (for testing) in ``root``; either one is sufficient."""
    require_root(root, "df40")
    places = {name: split for name, split in _DF40_PLACES.items() if (root / name).is_dir()}
    if not places:
        raise InputError(f"{root}: the folder DF40 (testing) or DF40_train of df40 is missing; see docs/data.md")
    rows = []
    for name, split in places.items():
        for folder in sorted(path for path in (root / name).iterdir() if path.is_dir()):
            if not methods or folder.name in methods:
                rows += [_df40_row(path, path.relative_to(folder), folder.name, split) for path in list_files(folder)]
    absent = set(methods) - {row["folder"] for row in rows}
    if absent or not rows:
        raise InputError(f"{root}: no images of {', '.join(sorted(absent)) or 'any method'} in {list(places)}")
    table = pd.DataFrame(rows).assign(dataset="df40").drop(columns="folder")
    table["split"] = split_validation(table["split"], table["source"], val_fraction)
    table["frame"] = table.groupby(["method", "source", "video"], sort=False).cumcount()
    return Listing(table, {"forged": FORGED}, boundary=root)


def _df40_row(path: Path, inside: Path, method: str, split: str) -> dict[str, object]:
    parts = [part.lower() for part in inside.parts[:-1]]
    domain = next((part for part in parts if part in _DF40_DOMAINS), "")
    real = "real" in parts and "fake" not in parts
    named = [part for part in inside.parts[:-1] if part.lower() not in _DF40_IGNORED]
    # A single image is its own source; the frames of a video share a folder.
    video = "/".join(named)
    own = named[-1] if named and not named[-1].endswith("-real") else path.stem
    pair = re.fullmatch(r"(\d{3})_(\d{3})", own)
    origin = "_".join(sorted(pair.groups())) if pair else own
    # With a domain, several methods share a source. Without one, the method's name makes the source unique.
    return {
        "path": str(path), "split": split, "source": f"{domain or method}/{origin}", "video": video,
        "method": "" if real else method, "forged": int(not real), "folder": method,
    }  # fmt: skip


df40 = Layout(
    "df40",
    "DF40: forged (and some real) face images by method, in testing and training folders",
    read_df40,
    (
        Option("methods", tuple, (), "methods to read, by folder name; default: all"),
        Option("val_fraction", float, 0.1, "fraction of the training sources that is used for validation"),
    ),
)


_DFDC_SPLITS = {"validation": "val", "test": "test"}


def read_dfdc(root: Path, *, split_fractions: str = DEFAULT) -> Listing:
    """Read DFDC from one part or from a folder of parts, each with ``metadata.json`` and the videos listed in it."""
    require_root(root, "dfdc")
    files = sorted({*root.glob("metadata.json"), *root.glob("*/metadata.json"), *root.glob("*/*/metadata.json")})
    if not files:
        raise InputError(f"{root}: metadata.json of dfdc is neither in this folder nor in the two levels below")
    table = pd.DataFrame([row for file in files for row in _dfdc_part(file)]).assign(dataset="dfdc", frame=0)
    official = set(table["split"])
    if official == {"train"}:
        table["split"] = split_by_source(table["source"], parse_fractions(split_fractions))
    elif "val" not in official:
        table["split"] = split_validation(table["split"], table["source"], parse_fractions(split_fractions)[1])
    return Listing(table, {"forged": FORGED}, boundary=root)


def _dfdc_part(file: Path) -> list[dict[str, object]]:
    try:
        videos: dict[str, Any] = json.loads(file.read_text())
        rows = [_dfdc_row(file.parent, name, entry) for name, entry in videos.items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{file}: expected label (REAL or FAKE), split and original for each video") from None
    if not rows:
        raise InputError(f"{file}: lists no videos")
    return rows


def _dfdc_row(folder: Path, name: str, entry: dict[str, Any]) -> dict[str, object]:
    forged = {"REAL": 0, "FAKE": 1}.get(str(entry.get("label")), entry.get("is_fake"))
    if forged is None or Path(name).name != name:
        raise ValueError
    split = _DFDC_SPLITS.get(str(entry.get("split", "train")), "train")
    original = entry.get("original") or name
    return {
        "path": str(folder / name), "split": split, "source": Path(original).stem, "video": Path(name).stem,
        "method": "DFDC" if forged else "", "forged": int(forged),
    }  # fmt: skip


dfdc = Layout(
    "dfdc",
    "DFDC: real and forged videos by metadata.json; a forgery and its original share a source",
    read_dfdc,
    (
        Option(
            "split_fractions",
            str,
            DEFAULT,
            "fractions train,val,test; if the metadata has a test split but no val split, only the second is used",
        ),
    ),
)


def read_uadfv(root: Path, *, split_fractions: str = DEFAULT) -> Listing:
    """Read UADFV, where the source of ``fake/0000_fake.mp4`` is the real video ``real/0000.mp4``."""
    rows = []
    for folder, forged in (("real", 0), ("fake", 1)):
        for path in list_files(require_folder(root, (folder,), "uadfv"), (".mp4",)):
            source = path.stem.removesuffix("_fake")
            if not source.isdigit() or path.stem.endswith("_fake") != bool(forged):
                raise InputError(f"{path}: expected real/0000.mp4 or fake/0000_fake.mp4")
            rows.append({"path": str(path), "source": source, "video": path.stem, "forged": forged})
    if not rows:
        raise InputError(f"{root}: no videos in the folders real and fake")
    table = pd.DataFrame(rows).assign(dataset="uadfv", frame=0)
    table["method"] = table["forged"].map({0: "", 1: "FakeApp"})
    table["split"] = split_by_source(table["source"], parse_fractions(split_fractions))
    return Listing(table, {"forged": FORGED}, boundary=root)


uadfv = Layout(
    "uadfv",
    "UADFV: 49 real videos and 49 forgeries; no official split",
    read_uadfv,
    (Option("split_fractions", str, DEFAULT, "fractions train,val,test; split by original video"),),
)
