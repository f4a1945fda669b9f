"""``auxface texture``: draw texture maps, or write the codes of one descriptor."""

from pathlib import Path
from typing import Annotated

import typer

from auxface.cli.options import Overwrite


def command(
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
        raise InputError("no output: give -o SHEET.png, or --descriptor NAME --npy CODES.npy")
    if npy is not None:
        if descriptor is None:
            raise InputError("--npy writes the codes of one descriptor; name it with --descriptor")
        codes = texture_codes(image, npy, descriptor, settings=settings or (), overwrite=overwrite)
        typer.echo(f"{npy}: {descriptor}, {codes.dtype} {' x '.join(map(str, codes.shape))}")
    if out is not None:
        names = texture_sheet(image, out, descriptor, settings=settings or (), overwrite=overwrite)
        typer.echo(f"{out}: {len(names)} descriptor{'s' if len(names) > 1 else ''}")
