"""``auxface prepare LAYOUT``: one command per layout, with the layout's own options."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from auxface.cli.options import Json, Overwrite

app = typer.Typer(
    help="Read a data set as its owners publish it (or a table, or a folder) and write a manifest.",
    no_args_is_help=True,
)

FaceCut = Literal["none", "crop", "align"]
Which = Literal["largest", "central", "mask", "all"]

Root = Annotated[Path, typer.Argument(metavar="ROOT", help="The data set's folder, or the list file of 'table'.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="The manifest to write (.parquet or .csv).")]
Crops = Annotated[Path | None, typer.Option("--out", help="Folder for the images that --faces and --frames make.")]
Faces = Annotated[
    FaceCut, typer.Option("--faces", help="none: already cropped; crop: box and margin; align: 5 points.")
]
DetectorName = Annotated[Literal["yunet", "haar"], typer.Option("--detector", help="haar needs no download.")]
Weights = Annotated[Path | None, typer.Option("--weights", help="YuNet's weight; otherwise downloaded once, by hash.")]
WhichFace = Annotated[
    Which,
    typer.Option("--which", help="Of several faces; mask: the forged, else the largest."),
]
Size = Annotated[int, typer.Option("--size", help="Side of the cut faces in pixels.")]
Margin = Annotated[float, typer.Option("--margin", help="How much wider than the face the cut is.")]
Frames = Annotated[int | None, typer.Option("--frames", help="Frames (or clips) to take of each video.", min=1)]
Choice = Annotated[Literal["uniform", "first", "clips"], typer.Option("--frame-choice", help="Which frames.")]
Length = Annotated[int, typer.Option("--clip-length", help="Frames of a clip.")]
Stride = Annotated[int, typer.Option("--clip-stride", help="Frames between two frames of a clip.")]
Duplicates = Annotated[Literal["drop", "keep"], typer.Option("--duplicates", help="Files with the same bytes.")]

_SHARED: tuple[tuple[str, Any, Any], ...] = (
    ("root", Root, inspect.Parameter.empty),
    ("output", Output, inspect.Parameter.empty),
    ("crops", Crops, None),
    ("faces", Faces, "none"),
    ("detector", DetectorName, "yunet"),
    ("weights", Weights, None),
    ("which", WhichFace, "mask"),
    ("face_size", Size, 224),
    ("margin", Margin, 0.3),
    ("frames", Frames, None),
    ("frame_choice", Choice, "uniform"),
    ("clip_length", Length, 16),
    ("clip_stride", Stride, 4),
    ("duplicates", Duplicates, "drop"),
    ("overwrite", Overwrite, False),
    ("as_json", Json, False),
)


def add_layouts() -> None:
    """Give every registered layout its command; called only when ``prepare`` is, since it loads them all."""
    from auxface.data.layouts import layouts

    for name, layout in layouts().items():
        app.command(name=name, help=layout.summary)(_command(layout))


def _command(layout: Any) -> Callable[..., None]:
    """A function whose signature is the shared options and the layout's own; of two equal flags the layout's stands."""
    own_flags = {_flag(option.name) for option in layout.options}
    shared = [item for item in _SHARED if not own_flags & set(_flags(item[1]))]
    defaults = {name: default for name, _, default in _SHARED}

    def run(**given: Any) -> None:
        own = {option.name: given.pop(f"layout_{option.name}") for option in layout.options}
        own = {name: tuple(value) if isinstance(value, list) else value for name, value in own.items()}
        _run(layout.name, own, **(defaults | given))

    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, annotation, default in shared
    ] + [_parameter(option) for option in layout.options]
    run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _flags(annotation: Any) -> tuple[str, ...]:
    return tuple(getattr(annotation.__metadata__[0], "param_decls", None) or ())


def _parameter(option: Any) -> inspect.Parameter:
    kind: Any = list[str] if option.type is tuple else option.type
    default = list(option.default) if option.type is tuple else option.default
    if default is None:
        kind = kind | None
    text = option.help + (f" ({', '.join(option.choices)})" if option.choices else "")
    flag = _flag(option.name)
    names = f"{flag}/--no{flag[1:]}" if option.type is bool else flag
    annotation = Annotated[kind, typer.Option(names, help=text)]
    return inspect.Parameter(
        f"layout_{option.name}", inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _run(
    layout: str,
    options: dict[str, Any],
    *,
    root: Path,
    output: Path,
    crops: Path | None,
    faces: FaceCut,
    detector: Literal["yunet", "haar"],
    weights: Path | None,
    which: Which,
    face_size: int,
    margin: float,
    frames: int | None,
    frame_choice: Literal["uniform", "first", "clips"],
    clip_length: int,
    clip_stride: int,
    duplicates: Literal["drop", "keep"],
    overwrite: bool,
    as_json: bool,
) -> None:
    from auxface.data.faces import FaceSettings
    from auxface.data.prepare.prepare import count_leaks, leaks_file, prepare
    from auxface.data.video.frames import FrameSettings
    from auxface.progress import progress_steps

    settings = None
    if faces != "none":
        settings = FaceSettings(cut=faces, detector=detector, which=which, size=face_size, margin=margin)
    chosen = None
    if frames is not None:
        chosen = FrameSettings(choice=frame_choice, count=frames, length=clip_length, stride=clip_stride)
    with progress_steps(f"prepare {layout}", "files") as progress:
        account = prepare(
            layout,
            root,
            output=output,
            overwrite=overwrite,
            options=options,
            faces=settings,
            weights=weights,
            frames=chosen,
            crops=crops,
            duplicates=duplicates,
            progress=progress,
        )
    leaks = count_leaks(output)
    if leaks:
        typer.echo(
            f"warning: {leaks} pairs of images in different splits look the same: {leaks_file(output)}", err=True
        )
    if as_json:
        typer.echo(json.dumps(account))
        return
    counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in account.items())
    typer.echo(f"{output}: {counts}")
    if account["found"] != account["usable"]:
        typer.echo(f"what was left out, and why: {output.with_name(output.stem + '.rejected.csv')}")
