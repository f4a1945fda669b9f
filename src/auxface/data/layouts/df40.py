"""Layout ``df40``: DF40 (Yan et al., 2024), the published face crops by method and domain.

Most methods contain forgeries only: their real images are those of FaceForensics++ and Celeb-DF. The methods held out
for testing have ``real`` and ``fake`` folders.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from auxface.data.images.decode import SUFFIXES
from auxface.data.layouts.faceforensics import FORGED
from auxface.data.layouts.registry import Layout, Listing, Option, list_files, require_root
from auxface.data.splits import split_validation
from auxface.errors import InputError

_PLACES = {"DF40_train": "train", "train": "train", "DF40": "test", "DF40_test": "test", "test": "test"}
_DOMAINS = ("ff", "ffpp", "cdf", "cdfv2")
_IGNORED = ("frames", "inversions", "real", "fake", *_DOMAINS)


def read(root: Path, *, methods: Sequence[str] = (), val_fraction: float = 0.1) -> Listing:
    """Read ``DF40_train`` and ``DF40`` (testing) below ``root``, either or both."""
    require_root(root, "df40")
    places = {name: split for name, split in _PLACES.items() if (root / name).is_dir()}
    if not places:
        raise InputError(f"{root}: the folder DF40 (testing) or DF40_train of df40 is missing; see docs/data.md")
    rows = []
    for name, split in places.items():
        for folder in sorted(path for path in (root / name).iterdir() if path.is_dir()):
            if not methods or folder.name in methods:
                rows += [
                    _row(path, path.relative_to(folder), folder.name, split) for path in list_files(folder, SUFFIXES)
                ]
    absent = set(methods) - {row["folder"] for row in rows}
    if absent or not rows:
        raise InputError(
            f"{root}: there are no images of {', '.join(sorted(absent)) or 'any method'} in {list(places)}"
        )
    table = pd.DataFrame(rows).assign(dataset="df40").drop(columns="folder")
    table["split"] = split_validation(table["split"], table["source"], val_fraction)
    table["frame"] = table.groupby(["method", "source", "video"], sort=False).cumcount()
    return Listing(table, {"forged": FORGED}, boundary=root)


def _row(path: Path, inside: Path, method: str, split: str) -> dict[str, object]:
    parts = [part.lower() for part in inside.parts[:-1]]
    domain = next((part for part in parts if part in _DOMAINS), "")
    real = "real" in parts and "fake" not in parts
    named = [part for part in inside.parts[:-1] if part.lower() not in _IGNORED]
    # A single image is its own source; the frames of a video share a folder.
    video = "/".join(named)
    own = named[-1] if named and not named[-1].endswith("-real") else path.stem
    pair = re.fullmatch(r"(\d{3})_(\d{3})", own)
    origin = "_".join(sorted(pair.groups())) if pair else own
    # With a domain, other methods have the same source; without one, the method's name makes the source unique.
    return {
        "path": str(path), "split": split, "source": f"{domain or method}/{origin}", "video": video,
        "method": "" if real else method, "forged": int(not real), "folder": method,
    }  # fmt: skip


layout = Layout(
    "df40",
    "DF40: forged (and some real) face images by method, testing and training folders",
    read,
    (
        Option("methods", tuple, (), "methods to read, by folder name; default: all"),
        Option("val_fraction", float, 0.1, "fraction of the training sources that becomes validation"),
    ),
)
