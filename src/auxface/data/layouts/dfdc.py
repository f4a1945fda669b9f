"""``dfdc``: the Deepfake Detection Challenge (Dolhansky et al., 2020), in the parts that its owners publish."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from auxface.data.layouts.faceforensics import FORGED
from auxface.data.layouts.registry import Layout, Listing, Option
from auxface.data.layouts.tree import need_root
from auxface.data.splits import DEFAULT, cut_validation, parse_fractions, split_by_source
from auxface.errors import InputError

_OFFICIAL = {"validation": "val", "test": "test"}


def read(root: Path, *, split_fractions: str = DEFAULT) -> Listing:
    """Read one part, or a folder of parts: each holds ``metadata.json`` and the videos that it names."""
    need_root(root, "dfdc")
    files = sorted({*root.glob("metadata.json"), *root.glob("*/metadata.json"), *root.glob("*/*/metadata.json")})
    if not files:
        raise InputError(f"{root}: the file metadata.json of dfdc is missing, here and in the folders below")
    table = pd.DataFrame([row for file in files for row in _part(file)]).assign(dataset="dfdc", frame=0)
    official = set(table["split"])
    if official == {"train"}:
        table["split"] = split_by_source(table["source"], parse_fractions(split_fractions))
    elif "val" not in official:
        table["split"] = cut_validation(table["split"], table["source"], parse_fractions(split_fractions)[1])
    return Listing(table, {"forged": FORGED}, boundary=root)


def _part(file: Path) -> list[dict[str, object]]:
    try:
        videos: dict[str, Any] = json.loads(file.read_text())
        rows = [_row(file.parent, name, about) for name, about in videos.items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{file}: expected a label (REAL or FAKE), split and original for each video") from None
    if not rows:
        raise InputError(f"{file}: it names no videos")
    return rows


def _row(folder: Path, name: str, about: dict[str, Any]) -> dict[str, object]:
    forged = {"REAL": 0, "FAKE": 1}.get(str(about.get("label")), about.get("is_fake"))
    if forged is None or Path(name).name != name:
        raise ValueError
    split = _OFFICIAL.get(str(about.get("split", "train")), "train")
    original = about.get("original") or name
    return {
        "path": str(folder / name), "split": split, "source": Path(original).stem, "video": Path(name).stem,
        "method": "DFDC" if forged else "", "forged": int(forged),
    }  # fmt: skip


layout = Layout(
    "dfdc",
    "DFDC: real and forged videos by metadata.json; a forgery and its original share a source",
    read,
    (
        Option(
            "split_fractions",
            str,
            DEFAULT,
            "train,val,test where the metadata says only train; the middle one where it says train and test",
        ),
    ),
)
