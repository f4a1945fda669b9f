"""Layouts of synthetic data: rendered faces, as images and as videos, and synthetic music.

Layout ``synthetic``: rendered faces, written to the folder ``root`` as PNG files.

Layout ``synthetic_clips``: videos of rendered faces, written to the folder ``root`` as H.264.

Layout ``synthetic_tracks``: synthetic music, written to the folder ``root`` as WAV files.
"""

from functools import partial
from pathlib import Path

import pandas as pd
from PIL import Image

from auxface.data.audio.spectrogram import SpectrogramSettings
from auxface.data.images.decode import in_order
from auxface.data.layouts.registry import Layout, Listing, Option
from auxface.data.manifest import Label
from auxface.data.splits import parse_fractions, split_by_source
from auxface.data.video.h264 import write_video
from auxface.errors import InputError
from auxface.output_folder import added_files, refuse_foreign_names
from auxface.progress import progress_bar

_MOST_FACES = 1_000_000


def read_synthetic(
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
    """Render ``count`` faces into ``root``; :data:`synthetic` describes the options."""
    from auxface.data.synthetic import Bias, render_faces

    if not 1 <= count <= _MOST_FACES:
        raise InputError(f"layout synthetic: count {count} must be between 1 and {_MOST_FACES}")
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
    """Return the listing of rendered images or videos, with their labels and groups."""
    from auxface.data.synthetic import ATTRIBUTES, EMOTIONS

    labels = {
        "emotion": Label("class", tuple(EMOTIONS)),
        "attributes": Label("multilabel", tuple(ATTRIBUTES)),
        "forged": Label("binary", ("real", "fake")),
    }
    return Listing(table, labels, ("skin_tone", "age_group"), boundary=root)


synthetic = Layout(
    "synthetic",
    "faces rendered into ROOT: emotion, attributes, forged; groups skin tone and age group",
    read_synthetic,
    (
        Option("count", int, 4000, "number of images"),
        Option("seed", int, 0, "seed; each seed gives a different population"),
        Option("size", int, 64, "side in pixels, 32 to 512"),
        Option("bias", float, 0.0, "0 to 1: dependence of bias_label on bias_group, in the training split only"),
        Option("bias_label", str, "Smiling", "label of the bias: an attribute, forged, or emotion=NAME"),
        Option("bias_group", str, "skin_tone", "group of the bias: skin_tone or age_group"),
        Option("split_fractions", str, "0.7,0.1,0.2", "fractions train,val,test; split by person"),
        Option("dataset", str, "synthetic", "name of the data set; people of different data sets are distinct"),
    ),
)


_MOST_CLIPS = 100_000


def read_synthetic_clips(
    root: Path,
    *,
    count: int = 200,
    seed: int = 0,
    size: int = 64,
    length: int = 64,
    split_fractions: str = "0.7,0.1,0.2",
) -> Listing:
    """Render ``count`` clips into ``root``; :data:`synthetic_clips` describes the options."""
    from auxface.data.synthetic import describe_clip, render_clip

    bounds = {"count": (count, 1, _MOST_CLIPS), "size": (size, 32, 512), "length": (length, 2, 10_000)}
    for name, (value, least, most) in bounds.items():
        if not least <= value <= most:
            raise InputError(f"layout synthetic_clips: {name} {value} must be between {least} and {most}")
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


synthetic_clips = Layout(
    "synthetic_clips",
    "videos of faces rendered into ROOT: emotion, attributes, forged (the skin flickers); groups as in synthetic",
    read_synthetic_clips,
    (
        Option("count", int, 200, "number of videos, two per person: one real, one forged"),
        Option("seed", int, 0, "seed; each seed gives a different population"),
        Option("size", int, 64, "side in pixels, even, 32 to 512"),
        Option("length", int, 64, "number of frames in a video, at 25 per second"),
        Option("split_fractions", str, "0.7,0.1,0.2", "fractions train,val,test; split by person"),
    ),
)


_MOST_TRACKS = 100_000


def read_synthetic_tracks(
    root: Path,
    *,
    count: int = 240,
    seed: int = 0,
    length: float = 10.0,
    split_fractions: str = "0.7,0.1,0.2",
    excerpts: int = 2,
    seconds: float = 4.0,
    size: int = 64,
) -> Listing:
    """Synthesize ``count`` tracks into ``root``; :data:`synthetic_tracks` describes the options."""
    from auxface.data.synthetic.music import INSTRUMENTS, TAGS, describe_track, render_track, write_wav

    for name, value, least, most in (("count", count, 1, _MOST_TRACKS), ("length", length, 1, 600)):
        if not least <= value <= most:
            raise InputError(f"layout synthetic_tracks: {name} {value} must be between {least} and {most}")
    if seed < 0:
        raise InputError("layout synthetic_tracks: seed must be 0 or more")
    settings = SpectrogramSettings(excerpts, seconds, size)
    names = [f"{number:05d}.wav" for number in range(count)]
    splits = split_by_source([f"track_{number:05d}" for number in range(count)], parse_fractions(split_fractions))
    refuse_foreign_names(root, names)

    def write(number: int, folder: Path) -> dict[str, object]:
        track = describe_track(number, seed=seed)
        write_wav(folder / names[number], render_track(track, seconds=length))
        name = f"track_{number:05d}"
        marks: dict[str, object] = {tag: int(tag in track.tags) for tag in TAGS}
        return {"source": name, "video": name, "track": name, "instrument": track.instrument} | marks

    rows: list[dict[str, object]] = []
    with added_files(root) as folder, progress_bar("draw tracks", count, "tracks") as advance:
        for row in in_order(partial(write, folder=folder), range(count)):
            rows.append(row)
            advance(1)
    table = pd.DataFrame(rows).assign(path=[str(root / name) for name in names], split=list(splits))
    labels = {
        "tags": Label("multilabel", TAGS),
        "instrument": Label("class", tuple(INSTRUMENTS)),
        "track": Label("identity"),
    }
    table = table.assign(dataset="synthetic_tracks", method="", frame=0)
    return Listing(table, labels, ("instrument",), boundary=root, spectrogram=settings)


synthetic_tracks = Layout(
    "synthetic_tracks",
    "music synthesized into ROOT as WAV files: tags (instrument, drums, fast, minor); label and group instrument",
    read_synthetic_tracks,
    (
        Option("count", int, 240, "number of tracks"),
        Option("seed", int, 0, "seed; each seed gives different tracks"),
        Option("length", float, 10.0, "length of a track in seconds"),
        Option("split_fractions", str, "0.7,0.1,0.2", "fractions train,val,test; split by track"),
        Option("excerpts", int, 2, "maximum number of excerpts per track"),
        Option("seconds", float, 4.0, "length of an excerpt in seconds"),
        Option("size", int, 64, "side of the log-mel images: number of mel bands and of time steps"),
    ),
    audio=True,
)
