"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path, typer.Option("--data", help="Manifest (.parquet or .csv).")]
Out = Annotated[Path, typer.Option("--out", "-o", help="File or folder to write.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Replace a recipe key, such as train.epochs=3. Repeatable.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Replace the seed of the recipe.", min=0)]
Device = Annotated[str, typer.Option("--device", help="Device: auto, cpu, cuda or mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else, on standard output.")]
Unlabeled = Annotated[
    list[Path] | None,
    typer.Option("--unlabeled", help="Manifest whose training images are used without labels. Repeatable."),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Replace an existing output. In a folder, only files that auxface wrote are replaced."
    ),
]


class _DefaultResamples:
    """The library's default, imported on first use, since importing the evaluation package slows down every command."""

    def __call__(self) -> int:
        from auxface.evaluation.resampling import RESAMPLES

        return RESAMPLES

    def __str__(self) -> str:
        return str(self())


Resamples = Annotated[
    int,
    typer.Option(
        "--resamples",
        help="Number of bootstrap resamples.",
        min=100,
        max=100_000,
        default_factory=_DefaultResamples(),
    ),
]
