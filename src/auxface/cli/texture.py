"""``auxface texture``: draw texture maps, write the codes of one descriptor, or measure targets."""

import json
from math import isnan
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from auxface.cli.options import Json, Overwrite

_SHEET = "sheet"


class _DefaultToSheet(TyperGroup):
    """A group that accepts ``auxface texture IMAGE`` as short for ``auxface texture sheet IMAGE``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = {*self.commands, "-h", "--help"}
        return super().parse_args(ctx, [_SHEET, *args] if args and args[0] not in known else args)


app = typer.Typer(
    cls=_DefaultToSheet,
    help="Draw the texture maps of an image: auxface texture IMAGE -o SHEET.png; or measure reconstruction targets.",
    no_args_is_help=True,
)


@app.command(name=_SHEET)
def sheet(
    image: Annotated[Path, typer.Argument(help="An image file.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The sheet to write (.png).")] = None,
    descriptor: Annotated[str | None, typer.Option("--descriptor", help="Only this descriptor.")] = None,
    npy: Annotated[Path | None, typer.Option("--npy", help="File for the codes of --descriptor (.npy).")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A parameter of --descriptor, such as points=16. Repeatable.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw the texture maps of an image on one sheet, or write the codes of one descriptor."""
    from auxface.data.texture_sheet import texture_codes, texture_sheet
    from auxface.errors import InputError

    if out is None and npy is None:
        raise InputError("no output was given; add -o SHEET.png, or --descriptor NAME --npy CODES.npy")
    if npy is not None:
        if descriptor is None:
            raise InputError("--npy writes the codes of one descriptor; name it with --descriptor")
        codes = texture_codes(image, npy, descriptor, settings=settings or (), overwrite=overwrite)
        typer.echo(f"{npy}: {descriptor}, {codes.dtype} {' x '.join(map(str, codes.shape))}")
    if out is not None:
        names = texture_sheet(image, out, descriptor, settings=settings or (), overwrite=overwrite)
        typer.echo(f"{out}: {len(names)} descriptor{'s' if len(names) > 1 else ''}")


@app.command()
def learnable(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="The manifest (.parquet or .csv).")],
    targets: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            help="A target as in a recipe: a name, or '{name: local_directional_pattern, encoding: bits, smooth: 2}'. "
            "Repeatable.",
        ),
    ] = None,
    size: Annotated[int, typer.Option("--size", help="Side of the faces in pixels.", min=8, max=4096)] = 64,
    patch_size: Annotated[int, typer.Option("--patch-size", help="Side of a patch in pixels.", min=1, max=256)] = 8,
    faces: Annotated[int, typer.Option("--faces", help="Maximum number of faces per split.", min=1)] = 2000,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The table to write (.csv).")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Measure how well each target of a hidden patch can be predicted from the patches around it."""
    from auxface.objectives.reconstruction.learnable import texture_learnable

    found = texture_learnable(
        manifest, out, targets=targets or (), size=size, patch_size=patch_size, faces=faces, overwrite=overwrite
    )
    if as_json:
        typer.echo(json.dumps([one.to_dict() for one in found]))
        return
    width = max(len(one.target.name) for one in found)
    typer.echo(f"R2    {'target':{width}}  encoding   smooth  scale")
    for one in found:
        target = one.target
        r2 = "  n/a" if isnan(one.r2) else f"{one.r2:5.3f}"
        typer.echo(f"{r2} {target.name:{width}}  {target.encoding:9}  {target.smooth:6g}  {target.scale:5d}")
    typer.echo(f"fitted on {found[0].faces} training faces, scored on {found[0].held_out} validation faces")
    if out is not None:
        typer.echo(f"table: {out}")
