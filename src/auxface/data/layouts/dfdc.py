"""Layout ``dfdc``: the Deepfake Detection Challenge (Dolhansky et al., 2020), in its published parts."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from auxface.data.layouts.faceforensics import FORGED
from auxface.data.layouts.registry import Layout, Listing, Option, require_root
from auxface.data.splits import DEFAULT, parse_fractions, split_by_source, split_validation
from auxface.errors import InputError

_OFFICIAL = {"validation": "val", "test": "test"}


def read(root: Path, *, split_fractions: str = DEFAULT) -> Listing:
    """Read one part, or a folder of parts; each has ``metadata.json`` and the videos that it lists."""
    require_root(root, "dfdc")
    files = sorted({*root.glob("metadata.json"), *root.glob("*/metadata.json"), *root.glob("*/*/metadata.json")})
    if not files:
        raise InputError(f"{root}: file metadata.json of dfdc is missing, also in the folders below")
    table = pd.DataFrame([row for file in files for row in _part(file)]).assign(dataset="dfdc", frame=0)
    official = set(table["split"])
    if official == {"train"}:
        table["split"] = split_by_source(table["source"], parse_fractions(split_fractions))
    elif "val" not in official:
        table["split"] = split_validation(table["split"], table["source"], parse_fractions(split_fractions)[1])
    return Listing(table, {"forged": FORGED}, boundary=root)


def _part(file: Path) -> list[dict[str, object]]:
    try:
        videos: dict[str, Any] = json.loads(file.read_text())
        rows = [_row(file.parent, name, entry) for name, entry in videos.items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{file}: expected label (REAL or FAKE), split and original for each video") from None
    if not rows:
        raise InputError(f"{file}: it lists no videos")
    return rows


def _row(folder: Path, name: str, entry: dict[str, Any]) -> dict[str, object]:
    forged = {"REAL": 0, "FAKE": 1}.get(str(entry.get("label")), entry.get("is_fake"))
    if forged is None or Path(name).name != name:
        raise ValueError
    split = _OFFICIAL.get(str(entry.get("split", "train")), "train")
    original = entry.get("original") or name
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
            "train,val,test if the metadata has split train only; the second one if it has train and test",
        ),
    ),
)
