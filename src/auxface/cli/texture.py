"""``auxface texture``."""

from pathlib import Path
from typing import Annotated

import typer

from auxface.cli.options import Overwrite


def command(
    picture: Annotated[Path, typer.Argument(help="A picture.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The sheet to make, a PNG.")] = None,
    descriptor: Annotated[str | None, typer.Option("--descriptor", help="This descriptor alone.")] = None,
    npy: Annotated[Path | None, typer.Option("--npy", help="Write the codes of --descriptor here.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A parameter of --descriptor: points=16. Repeatable.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Show the texture maps of a picture on one sheet, or write the codes of one descriptor."""
    from auxface.errors import InputError
    from auxface.verbs.texture import texture_codes, texture_sheet

    if out is None and npy is None:
        raise InputError("nothing to make: give -o SHEET.png, or --descriptor NAME --npy CODES.npy")
    if npy is not None:
        if descriptor is None:
            raise InputError("--npy writes the codes of one descriptor; name it with --descriptor")
        codes = texture_codes(picture, npy, descriptor, settings=settings or (), overwrite=overwrite)
        typer.echo(f"{npy}: {descriptor}, {codes.dtype} {' x '.join(map(str, codes.shape))}")
    if out is not None:
        names = texture_sheet(picture, out, descriptor, settings=settings or (), overwrite=overwrite)
        typer.echo(f"{out}: {len(names)} descriptor{'s' if len(names) > 1 else ''}")
