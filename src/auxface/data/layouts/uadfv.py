"""Layout ``uadfv``: UADFV (Li, Chang and Lyu, 2018): 49 real videos and a face swap of each."""

from pathlib import Path

import pandas as pd

from auxface.data.layouts.faceforensics import FORGED
from auxface.data.layouts.registry import Layout, Listing, Option, list_files, require_folder
from auxface.data.splits import DEFAULT, parse_fractions, split_by_source
from auxface.errors import InputError


def read(root: Path, *, split_fractions: str = DEFAULT) -> Listing:
    """Read ``real/0000.mp4`` and ``fake/0000_fake.mp4``; a forgery's source is the real video of the same number."""
    rows = []
    for folder, forged in (("real", 0), ("fake", 1)):
        for path in list_files(require_folder(root, (folder,), "uadfv"), (".mp4",)):
            source = path.stem.removesuffix("_fake")
            if not source.isdigit() or path.stem.endswith("_fake") != bool(forged):
                raise InputError(f"{path}: expected real/0000.mp4 or fake/0000_fake.mp4")
            rows.append({"path": str(path), "source": source, "video": path.stem, "forged": forged})
    if not rows:
        raise InputError(f"{root}: there are no videos in real and fake")
    table = pd.DataFrame(rows).assign(dataset="uadfv", frame=0)
    table["method"] = table["forged"].map({0: "", 1: "FakeApp"})
    table["split"] = split_by_source(table["source"], parse_fractions(split_fractions))
    return Listing(table, {"forged": FORGED}, boundary=root)


layout = Layout(
    "uadfv",
    "UADFV: 49 real videos and 49 forgeries; no official split",
    read,
    (Option("split_fractions", str, DEFAULT, "train,val,test, split by original video"),),
)
