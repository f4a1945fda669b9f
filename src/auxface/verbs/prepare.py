"""``auxface prepare``: a data set as its owners publish it, to a manifest."""

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from auxface.atomic import atomic_file, refuse_existing
from auxface.data.decode import DECODE_VERSION
from auxface.data.intake import STATUSES, Outcome, examine_all, mark_duplicates
from auxface.data.journal import Journal
from auxface.data.layouts import Listing, get_layout, resolve_options
from auxface.data.manifest import COLUMNS, Manifest, write_manifest
from auxface.errors import InputError

Progress = Callable[[int, int], None]


def prepare(
    layout: str,
    root: Path,
    *,
    output: Path,
    overwrite: bool = False,
    options: Mapping[str, Any] | None = None,
    duplicates: Literal["drop", "keep"] = "drop",
    progress: Progress | None = None,
) -> dict[str, int]:
    """Read a data set, open each of its pictures once, and write a manifest of those that can be used.

    Beside ``NAME.parquet`` stand ``NAME.account.json`` (what is returned) and ``NAME.rejected.csv`` (path, reason). A
    run that was stopped goes on where it was: finished pictures stand in a hidden journal beside the manifest.

    Args:
        layout: name of a layout; see :func:`auxface.data.layouts.layouts`.
        root: the data set's folder, or the list file of ``table``.
        output: the manifest to write, ``.parquet`` or ``.csv``.
        overwrite: replace ``output`` if it exists.
        options: settings of the layout.
        duplicates: whether a picture that is the same file as another is dropped.
        progress: called with (pictures done, pictures in all).

    Returns:
        found, usable, no_face, unreadable, duplicate: found is the sum of the others.

    Raises:
        InputError: a wrong or partial data set, a wrong option, an output that exists, or no usable picture.
    """
    output = Path(output)
    chosen = get_layout(layout)
    values = resolve_options(chosen, options or {})
    if output.suffix not in (".parquet", ".csv"):
        raise InputError(f"{output}: a manifest is written as .parquet or .csv")
    refuse_existing(output, overwrite)
    listing = chosen.read(Path(root), **values)

    table = listing.table.reset_index(drop=True)
    paths = [os.path.abspath(path) for path in table["path"]]
    outcomes: list[Outcome] = []
    with Journal(output.with_name(f".{output.name}.journal"), {"decode": DECODE_VERSION}) as journal:
        for outcome in examine_all(paths, listing.tree, journal):
            outcomes.append(outcome)
            if progress is not None:
                progress(len(outcomes), len(paths))
    if duplicates == "drop":
        outcomes = mark_duplicates(paths, table["split"], outcomes)
    return _write(listing, table.assign(path=paths), outcomes, output)


def _write(listing: Listing, table: pd.DataFrame, outcomes: list[Outcome], output: Path) -> dict[str, int]:
    usable = [outcome.status == "usable" for outcome in outcomes]
    if not any(usable):
        raise InputError(
            f"not one of the {len(table)} pictures can be used ({table['path'].iloc[0]}: {outcomes[0].reason})"
        )
    columns = [c for label, what in listing.labels.items() for c in what.columns(label)]
    kept = table.loc[usable, list(dict.fromkeys([*COLUMNS, *columns, *listing.groups]))].reset_index(drop=True)
    kept["path"] = [_relative(path, output) for path in kept["path"]]

    rejected = [(path, o.reason) for path, o in zip(table["path"], outcomes, strict=True) if o.status != "usable"]
    counts = Counter(outcome.status for outcome in outcomes)
    account = {"found": len(outcomes), **{status: counts[status] for status in STATUSES}}
    with atomic_file(output.with_name(f"{output.stem}.rejected.csv")) as beside:
        pd.DataFrame(rejected, columns=["path", "reason"]).to_csv(beside, index=False)
    with atomic_file(output.with_name(f"{output.stem}.account.json")) as beside:
        beside.write_text(json.dumps(account, indent=1) + "\n")
    # Last, so that a manifest stands for a run that ended.
    write_manifest(Manifest(kept, listing.labels, listing.groups), output)
    return account


def _relative(path: str, output: Path) -> str:
    """Relative to the manifest where the picture lies under its folder, so that both can move together."""
    folder = os.path.abspath(output.parent)
    inside = os.path.commonpath([folder, path]) == folder
    return Path(os.path.relpath(path, folder)).as_posix() if inside else path
