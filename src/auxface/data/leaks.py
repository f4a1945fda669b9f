"""What must not be in two splits at once: a source, or an image under another name."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Leaks:
    """Where splits touch.

    Attributes:
        sources: columns dataset, source, splits (with spaces), rows; a line per source in more than one split.
        images: columns first, second (row numbers), likeness; a line per pair of copies in different splits.
    """

    sources: pd.DataFrame
    images: pd.DataFrame


def find_leaks(table: pd.DataFrame, copies: pd.DataFrame) -> Leaks:
    """The leaks of a manifest's table.

    Args:
        table: with the columns split, dataset, source.
        copies: of :func:`auxface.data.copies.find_copies`, with row numbers of ``table``.
    """
    split = table["split"].to_numpy()
    crossing = split[copies["first"].to_numpy()] != split[copies["second"].to_numpy()]
    return Leaks(spread_sources(table), copies[crossing].reset_index(drop=True))


def spread_sources(table: pd.DataFrame) -> pd.DataFrame:
    """Sources in more than one split: columns dataset, source, splits, rows."""
    parts = table[["dataset", "source", "split"]].drop_duplicates()
    parts = parts[parts.duplicated(["dataset", "source"], keep=False)]
    columns = ["dataset", "source", "splits", "rows"]
    if parts.empty:
        return pd.DataFrame(columns=columns)
    rows = table.groupby(["dataset", "source"], sort=False).size().rename("rows")
    joined = parts.groupby(["dataset", "source"], sort=False)["split"].agg(" ".join).rename("splits")
    return joined.to_frame().join(rows).reset_index()[columns]


def different_sources(table: pd.DataFrame, copies: pd.DataFrame) -> pd.DataFrame:
    """The pairs whose images are not of one source: frames of one video are alike by nature."""
    name = table["dataset"].astype(str).str.cat(table["source"].astype(str), sep="\0").to_numpy()
    apart = name[copies["first"].to_numpy()] != name[copies["second"].to_numpy()]
    return copies[apart].reset_index(drop=True)
