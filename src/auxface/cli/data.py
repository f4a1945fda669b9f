"""``auxface data``: inspect a manifest, write it as shards, or merge manifests."""

import json
from pathlib import Path
from typing import Annotated

import typer

from auxface.cli.options import Json, Out, Overwrite

app = typer.Typer(help="Inspect a manifest, write its images as shards, or merge manifests.", no_args_is_help=True)

ManifestFile = Annotated[Path, typer.Argument(metavar="MANIFEST", help="The manifest (.parquet or .csv).")]


@app.command()
def show(
    manifest: ManifestFile,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The page to write (.html).")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Count splits, classes and groups; find leaks, near-duplicates and unreadable images; write a page."""
    from auxface.data.show import show_data

    facts = show_data(manifest, out, overwrite=overwrite).to_dict()
    if as_json:
        typer.echo(json.dumps(facts))
        return
    splits = ", ".join(f"{name} {count}" for name, count in facts["splits"].items())
    typer.echo(f"{manifest}: {facts['rows']} rows ({splits}), {facts['unreadable']['count']} unreadable")
    for name, counted in (facts["labels"] | facts["groups"]).items():
        for split, column in counted["splits"].items():
            typer.echo(f"{name} in {split}: " + ", ".join(f"{value} {number}" for value, number in column.items()))
    for note in facts["notes"]:
        typer.echo(f"note: {note}", err=True)
    leaks, pairs = facts["leaks"], facts["duplicates"]
    typer.echo(
        f"leaks: {leaks['sources']} sources in several splits, {leaks['pairs']} pairs of near-duplicate images in "
        "different splits"
    )
    typer.echo(
        f"near-duplicates: {pairs['pairs']} pairs of different sources, {pairs['contradicting']} with different labels"
    )
    if out is not None:
        typer.echo(f"page: {out}")


@app.command()
def shard(
    manifest: ManifestFile,
    out: Out,
    samples: Annotated[int, typer.Option("--samples", help="Images per shard.", min=1, max=100_000)] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Seed for the order of the images.", min=0)] = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write webdataset shards (tar files) of each split; repeat the command to resume an interrupted run."""
    from auxface.data.shards import write_shards

    written = write_shards(manifest, out, samples=samples, seed=seed, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps({"shards": written.shards, "samples": written.samples, "unreadable": written.unreadable}))
        return
    typer.echo(f"{out}: {written.samples} images in {written.shards} shards, {written.unreadable} unreadable")


@app.command()
def merge(
    manifests: Annotated[list[Path], typer.Argument(metavar="MANIFEST...", help="Manifests (.parquet or .csv).")],
    out: Out,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Merge manifests whose labels may differ; labels that a manifest lacks are unknown in its rows."""
    from auxface.data.merge import merge_manifests

    merged = merge_manifests(manifests, out, overwrite=overwrite)
    known = dict(merged.known_labels)
    if as_json:
        excluded = {name: list(groups) for name, groups in merged.excluded_groups.items()}
        typer.echo(json.dumps({"rows": dict(merged.rows), "known_labels": known, "excluded_groups": excluded}))
        return
    rows = ", ".join(f"{count} of {name}" for name, count in merged.rows.items())
    typer.echo(f"{out}: {sum(merged.rows.values())} rows ({rows})")
    typer.echo("known labels: " + ", ".join(f"{name} {count}" for name, count in known.items()))
    for name, groups in merged.excluded_groups.items():
        typer.echo(
            f"groups of {name} excluded from {out} because another manifest has labels with the same names: "
            + ", ".join(groups)
        )
