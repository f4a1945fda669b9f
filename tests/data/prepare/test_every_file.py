"""Every file of a given folder is in the counts: used, or listed with a reason."""

import json

import numpy as np
import pandas as pd
from PIL import Image

from auxface.data.manifest import read_manifest
from auxface.data.prepare.prepare import prepare


def photo(number: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8))


def test_every_file_is_used_or_has_a_reason(tmp_path):
    root = tmp_path / "root"
    for place in ("cat/deep", "dog"):
        (root / place).mkdir(parents=True)
    photo(0).save(root / "cat" / "a.jpg")
    photo(1).save(root / "cat" / "b.avif")
    photo(2).save(root / "cat" / "deep" / "c.jfif", format="JPEG")
    photo(3).save(root / "cat" / "without_suffix", format="PNG")
    photo(4).save(root / "dog" / "d.JPG")
    frames = [photo(5), photo(6), photo(7)]
    frames[0].save(root / "dog" / "e.gif", save_all=True, append_images=frames[1:])
    (root / "dog" / "f.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    (root / "dog" / "notes.txt").write_text("no image")
    (root / "dog" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (root / "list.csv").write_text("a,b\n")
    notes: list[str] = []
    out = tmp_path / "faces.parquet"
    counts = prepare("folder", root, out=out, warn=notes.append)
    rejected = pd.read_csv(tmp_path / "faces.rejected.csv")
    # The key of a listed file is written as in the manifest: frame 0, not 0.0.
    assert set(pd.read_csv(tmp_path / "faces.rejected.csv", dtype=str)["frame"].dropna()) == {"0"}
    assert counts == json.loads((tmp_path / "faces.account.json").read_text())
    files = [path for path in root.rglob("*") if path.is_file()]
    assert counts["found"] == len(files) == 10
    assert counts["usable"] == len(read_manifest(out).table) == 6
    assert {path.rsplit("/", 1)[1] for path in rejected["path"]} == {"f.heic", "notes.txt", "broken.png", "list.csv"}
    assert rejected["reason"].str.len().min() > 5
    assert ["more frames" in note for note in notes] == [True, False]
    assert "2 more frames are ignored" in notes[0]
    assert notes[1] == "class: no row of split val has dog"
