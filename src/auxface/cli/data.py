"""``auxface data``: show a manifest, or write it as shards."""

import json
from pathlib import Path
from typing import Annotated

import typer

from auxface.cli.options import Json, Out, Overwrite

app = typer.Typer(help="Look at a manifest, or turn it into shards that stream.", no_args_is_help=True)

Given = Annotated[Path, typer.Argument(metavar="MANIFEST", help="The manifest (.parquet or .csv).")]


@app.command()
def show(
    manifest: Given,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The page to write (.html).")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Count splits, classes and groups; find leaks, copies and unreadable images; write a page."""
    from auxface.data.show import show_data

    facts = show_data(manifest, out, overwrite=overwrite).to_dict()
    if as_json:
        typer.echo(json.dumps(facts))
        return
    splits = ", ".join(f"{name} {count}" for name, count in facts["splits"].items())
    typer.echo(f"{manifest}: {facts['rows']} rows ({splits}), {facts['unreadable']['count']} unreadable")
    leaks, copies = facts["leaks"], facts["duplicates"]
    typer.echo(f"leaks: {leaks['sources']} sources and {leaks['pairs']} pairs of images in different splits")
    typer.echo(f"copies: {copies['pairs']} pairs of different sources, {copies['contradicting']} with unlike labels")
    if out is not None:
        typer.echo(f"page: {out}")


@app.command()
def shard(
    manifest: Given,
    out: Out,
    samples: Annotated[int, typer.Option("--samples", help="Images in a shard.", min=1, max=100_000)] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Of the order of images over shards.", min=0)] = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write webdataset shards (tar files), split by split; run again to go on after a stop."""
    from auxface.data.show import shard_data

    made = shard_data(manifest, out, samples=samples, seed=seed, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps({"shards": made.shards, "samples": made.samples, "unreadable": made.unreadable}))
        return
    typer.echo(f"{out}: {made.samples} images in {made.shards} shards, {made.unreadable} unreadable")
