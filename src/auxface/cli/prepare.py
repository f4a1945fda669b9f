"""``auxface prepare LAYOUT``: one command per layout, with shared options and the layout's own options."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from auxface.cli.options import Json, Overwrite
from auxface.errors import InputError
from auxface.plugins import nearest


class _Layouts(TyperGroup):
    """A group that calls its commands layouts in the error about an unknown one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise InputError(
                f"prepare has no layout '{args[0]}'{nearest(args[0], self.commands)}; layouts: "
                f"{', '.join(self.commands)}; for other data sets, write a table with the paths and labels and use "
                "auxface prepare table"
            )
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Layouts,
    help="Read a data set in its published form, a table or a folder, and write a manifest.",
    no_args_is_help=True,
)

FaceCut = Literal["none", "crop", "align"]
Duplicates = Literal["drop", "keep"]

_REQUIRED = inspect.Parameter.empty


def add_layouts() -> None:
    """Add one command per registered layout; called only for ``prepare``, since this imports all layouts."""
    from auxface.data.layouts import layouts

    shared = _shared_parameters()
    for name, layout in layouts().items():
        app.command(name=name, help=layout.summary)(_command(layout, shared))


def _shared_parameters() -> dict[str, inspect.Parameter]:
    """Return the parameters that every layout has, by flag; their defaults are taken from the settings."""
    from auxface.data.faces.alignment import FaceSettings, Which
    from auxface.data.faces.detection import DetectorName
    from auxface.data.video.frames import Choice, FrameSettings

    faces, frames = FaceSettings(), FrameSettings()
    return dict(
        (
            _shared("out", Path, _REQUIRED, "--out", "The manifest to write (.parquet or .csv)."),
            _shared("crops", Path | None, None, "--crops", "Folder for the images that --faces and --frames write."),
            _shared(
                "faces", FaceCut, "none", "--faces", "none: already cropped; crop: box with margin; align: 5 landmarks."
            ),
            _shared("detector", DetectorName, faces.detector, "--detector", "Face detector; haar needs no download."),
            _shared(
                "weights",
                Path | None,
                None,
                "--weights",
                "YuNet's ONNX file; by default it is downloaded and its hash is verified.",
            ),
            _shared(
                "which",
                Which,
                faces.which,
                "--which",
                "Face to keep if there are several; mask: the forged face, or the largest if there is no mask.",
            ),
            _shared("face_size", int, faces.size, "--size", "Side of the face crops in pixels."),
            _shared("margin", float, faces.margin, "--margin", "Context around the face, relative to its size."),
            _shared("frames", int | None, None, "--frames", "Number of frames (or clips) to extract per video.", min=1),
            _shared(
                "frame_choice",
                Choice,
                frames.choice,
                "--frame-choice",
                "Frames to extract; first: the first frames with a face.",
            ),
            _shared("clip_length", int, frames.length, "--clip-length", "Number of frames in a clip."),
            _shared(
                "clip_stride", int, frames.stride, "--clip-stride", "Distance between consecutive frames of a clip."
            ),
            _shared(
                "duplicates",
                Duplicates,
                "drop",
                "--duplicates",
                "What to do with image files that have identical bytes.",
            ),
            ("--overwrite", _parameter("overwrite", Overwrite, False)),
            ("--json", _parameter("as_json", Json, False)),
        )
    )


def _parameter(name: str, annotation: Any, default: Any = _REQUIRED) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _shared(name: str, kind: Any, default: Any, flag: str, text: str, **more: Any) -> tuple[str, inspect.Parameter]:
    """Return the flag and the parameter of an option that every layout has."""
    flags = (flag, "-o") if flag == "--out" else (flag,)
    return flag, _parameter(name, Annotated[kind, typer.Option(*flags, help=text, **more)], default)


def _command(layout: Any, shared: dict[str, inspect.Parameter]) -> Callable[..., None]:
    """Return a function whose signature has the shared options and the layout's own, which take precedence."""
    own_flags = {_flag(option.name) for option in layout.options}
    defaults = {parameter.name: parameter.default for parameter in shared.values()}

    def run(**given: Any) -> None:
        own = {option.name: given.pop(f"layout_{option.name}") for option in layout.options}
        own = {name: tuple(value) if isinstance(value, list) else value for name, value in own.items()}
        _run(layout.name, own, **(defaults | given))

    root = _parameter(
        "root",
        Annotated[
            Path,
            typer.Argument(
                metavar="ROOT",
                help="Folder of the data set; for layouts 'table' and 'tracks', the file that lists the files.",
            ),
        ],
    )
    remaining = [parameter for flag, parameter in shared.items() if flag not in own_flags]
    parameters = [root, *remaining, *(_own_parameter(option) for option in layout.options)]
    run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _own_parameter(option: Any) -> inspect.Parameter:
    kind: Any = list[str] if option.type is tuple else option.type
    default = list(option.default) if option.type is tuple else option.default
    if default is None:
        kind = kind | None
    text = option.help + (f" ({', '.join(option.choices)})" if option.choices else "")
    flag = _flag(option.name)
    names = f"{flag}/--no{flag[1:]}" if option.type is bool else flag
    return _parameter(f"layout_{option.name}", Annotated[kind, typer.Option(names, help=text)], default)


def _run(
    layout: str,
    options: dict[str, Any],
    *,
    root: Path,
    out: Path,
    crops: Path | None,
    faces: FaceCut,
    detector: Any,
    weights: Path | None,
    which: Any,
    face_size: int,
    margin: float,
    frames: int | None,
    frame_choice: Any,
    clip_length: int,
    clip_stride: int,
    duplicates: Duplicates,
    overwrite: bool,
    as_json: bool,
) -> None:
    from auxface.data.faces import FaceSettings
    from auxface.data.layouts import get_layout
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
            out=out,
            overwrite=overwrite,
            options=options,
            faces=settings,
            weights=weights,
            frames=chosen,
            crops=crops,
            duplicates=duplicates,
            progress=progress,
            warn=lambda text: typer.echo(f"note: {text}", err=True),
        )
    leaks = count_leaks(out)
    if leaks:
        typer.echo(
            f"warning: {leaks} pairs of near-duplicate images are in different splits; see {leaks_file(out)}", err=True
        )
    if as_json:
        typer.echo(json.dumps(account))
        return
    # Audio files are not searched for faces.
    shown = {name: count for name, count in account.items() if not (get_layout(layout).audio and name == "no_face")}
    counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in shown.items())
    typer.echo(f"{out}: {counts}")
    if account["found"] != account["usable"]:
        typer.echo(f"unusable files, with reasons: {out.with_name(out.stem + '.rejected.csv')}")
