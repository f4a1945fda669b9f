"""Flags that several verbs share, spelled once."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path, typer.Option("--data", help="The manifest (.parquet or .csv).")]
Out = Annotated[Path, typer.Option("--out", "-o", help="What to make.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Change one recipe key: train.epochs=3. Repeatable.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Replaces the recipe's seed.", min=0)]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, nothing else there.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an output that exists; of a folder, only what auxface wrote there.")
]
