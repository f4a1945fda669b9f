"""``auxface data``: look at a manifest, or turn it into shards that stream."""

from pathlib import Path

from auxface.atomic import atomic_file, refuse_existing
from auxface.data.inspection import Inspection, inspect_manifest
from auxface.data.manifest import Manifest, read_manifest
from auxface.data.shards import Sharded, is_sharded, write_shards
from auxface.errors import InputError
from auxface.progress import progress_steps


def show_data(manifest: Path, out: Path | None = None, *, overwrite: bool = False) -> Inspection:
    """Count what a manifest holds, look for leaks and copies, and write a page about it.

    A manifest whose sources lie in several splits is shown too, since that is what one looks for.

    Args:
        manifest: ``.parquet`` or ``.csv``.
        out: the page to write; None: none.
        overwrite: replace ``out`` if it exists.

    Raises:
        InputError: not a manifest, or an output that exists.
    """
    if out is not None:
        refuse_existing(out, overwrite)
    opened = read_manifest(manifest, spread_sources="keep")
    _refuse_shards(opened, manifest)
    with progress_steps("look at pictures", "pictures") as progress:
        inspection = inspect_manifest(opened, progress)
    if out is not None:
        from auxface.data.inspection_page import render_inspection

        with atomic_file(out) as beside:
            beside.write_text(render_inspection(inspection, manifest.name), encoding="utf-8")
    return inspection


def shard_data(manifest: Path, out: Path, *, samples: int = 1000, seed: int = 0, overwrite: bool = False) -> Sharded:
    """Write a manifest's pictures as webdataset shards; a run that was stopped goes on where it was.

    Args:
        manifest: ``.parquet`` or ``.csv``.
        out: the folder to make.
        samples: pictures in a shard.
        seed: of the order in which pictures go into shards.
        overwrite: replace shards of another manifest or other settings.

    Raises:
        InputError: not a manifest, no usable picture, or a folder that holds something else.
    """
    opened = read_manifest(manifest)
    _refuse_shards(opened, manifest)
    with progress_steps("write shards", "pictures") as progress:
        return write_shards(
            opened, out, samples=samples, seed=seed, overwrite=overwrite, inputs=[manifest], progress=progress
        )


def _refuse_shards(opened: Manifest, given: Path) -> None:
    if is_sharded(opened):
        raise InputError(f"{given}: its pictures are in shards; give the manifest that they were made of")
