"""Layout ``synthetic``: rendered faces; ``root`` is the folder to which they are written as PNG files."""

from pathlib import Path

import pandas as pd
from PIL import Image

from auxface.data.layouts.registry import Layout, Listing, Option
from auxface.data.manifest import Label
from auxface.data.splits import parse_fractions
from auxface.errors import InputError
from auxface.output_folder import added_files, refuse_foreign_names

_MOST = 1_000_000


def read(
    root: Path,
    *,
    count: int = 4000,
    seed: int = 0,
    size: int = 64,
    bias: float = 0.0,
    bias_label: str = "Smiling",
    bias_group: str = "skin_tone",
    split_fractions: str = "0.7,0.1,0.2",
    dataset: str = "synthetic",
) -> Listing:
    """Render ``count`` faces into ``root``; every option is described in :data:`layout`."""
    from auxface.data.synthetic import Bias, render_faces

    if not 1 <= count <= _MOST:
        raise InputError(f"layout synthetic: count {count} must be from 1 to {_MOST}")
    names = [f"{row:06d}.png" for row in range(count)]
    refuse_foreign_names(root, names)
    tied = Bias(bias_label, bias_group, bias) if bias else None
    faces = render_faces(count, seed=seed, size=size, bias=tied, splits=parse_fractions(split_fractions))
    with added_files(root) as folder:
        for name, image in zip(names, faces.images, strict=True):
            Image.fromarray(image).save(folder / name, compress_level=1)
    paths = [str(root / name) for name in names]
    return rendered_listing(faces.table.assign(path=paths, dataset=dataset, video="", method=""), root)


def rendered_listing(table: pd.DataFrame, root: Path) -> Listing:
    """Return the listing of rendered images or videos, with its labels and groups."""
    from auxface.data.synthetic import ATTRIBUTES, EMOTIONS

    labels = {
        "emotion": Label("class", tuple(EMOTIONS)),
        "attributes": Label("multilabel", tuple(ATTRIBUTES)),
        "forged": Label("binary", ("real", "fake")),
    }
    return Listing(table, labels, ("skin_tone", "age_group"), boundary=root)


layout = Layout(
    "synthetic",
    "faces rendered into ROOT: emotion, attributes, forged; groups skin tone and age group",
    read,
    (
        Option("count", int, 4000, "number of images"),
        Option("seed", int, 0, "seed; each gives a different population"),
        Option("size", int, 64, "side in pixels, 32 to 512"),
        Option("bias", float, 0.0, "0 to 1: dependence of bias_label on bias_group, in the training split only"),
        Option("bias_label", str, "Smiling", "label of the bias: an attribute, forged, or emotion=NAME"),
        Option("bias_group", str, "skin_tone", "group of the bias: skin_tone or age_group"),
        Option("split_fractions", str, "0.7,0.1,0.2", "train,val,test, split by person"),
        Option("dataset", str, "synthetic", "name of the data set, which keeps its people apart from those of another"),
    ),
)
