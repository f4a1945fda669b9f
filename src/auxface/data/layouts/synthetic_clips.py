"""Layout ``synthetic_clips``: videos of rendered faces; ``root`` is the folder to which they are written as H.264."""

from functools import partial
from pathlib import Path

import pandas as pd

from auxface.data.layouts.registry import Layout, Listing, Option
from auxface.data.layouts.synthetic import rendered_listing
from auxface.data.parallel import in_order
from auxface.data.splits import parse_fractions
from auxface.data.video.h264 import write_video
from auxface.errors import InputError
from auxface.output_folder import added_files, refuse_foreign_names
from auxface.progress import progress_bar

_MOST = 100_000


def read(
    root: Path,
    *,
    count: int = 200,
    seed: int = 0,
    size: int = 64,
    length: int = 64,
    split_fractions: str = "0.7,0.1,0.2",
) -> Listing:
    """Render ``count`` clips into ``root``; every option is described in :data:`layout`."""
    from auxface.data.synthetic import describe_clip, render_clip

    bounds = {"count": (count, 1, _MOST), "size": (size, 32, 512), "length": (length, 2, 10_000)}
    for name, (value, least, most) in bounds.items():
        if not least <= value <= most:
            raise InputError(f"layout synthetic_clips: {name} {value} must be from {least} to {most}")
    if size % 2 or seed < 0:
        raise InputError("layout synthetic_clips: size must be even and seed 0 or more")
    splits = parse_fractions(split_fractions)
    names = [f"{number:05d}.mp4" for number in range(count)]
    refuse_foreign_names(root, names)

    def write(number: int, folder: Path) -> dict[str, object]:
        write_video(folder / names[number], render_clip(number, frames=length, seed=seed, size=size, splits=splits))
        return describe_clip(number, seed=seed, splits=splits)[1]

    rows: list[dict[str, object]] = []
    with added_files(root) as folder, progress_bar("render clips", count, "videos") as advance:
        for row in in_order(partial(write, folder=folder), range(count)):
            rows.append(row)
            advance(1)
    table = pd.DataFrame(rows)
    return rendered_listing(
        table.assign(path=[str(root / name) for name in names], dataset="synthetic_clips", method=""), root
    )


layout = Layout(
    "synthetic_clips",
    "videos of faces rendered into ROOT: emotion, attributes, forged (the skin flickers); groups as synthetic",
    read,
    (
        Option("count", int, 200, "number of videos, two per person: one real, one forged"),
        Option("seed", int, 0, "seed; each gives a different population"),
        Option("size", int, 64, "side in pixels, even, 32 to 512"),
        Option("length", int, 64, "number of frames in a video, at 25 per second"),
        Option("split_fractions", str, "0.7,0.1,0.2", "train,val,test, split by person"),
    ),
)
