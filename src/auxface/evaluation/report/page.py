"""The report of an audit: one HTML page, one JSON file, and a CSV file for every figure.

>>> write_report(audit, Path("report"), title="Ours")  # doctest: +SKIP
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from auxface.evaluation.io import put_file
from auxface.evaluation.predictions import TableError
from auxface.evaluation.report.csv_export import csv_tables
from auxface.evaluation.results import Audit

if TYPE_CHECKING:
    from auxface.evaluation.report.task_view import TaskView


Curves = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Figure:
    """A PNG image with its caption and alternative text."""

    png: bytes
    caption: str
    alt: str

    def source(self) -> str:
        """Return the image as a ``data:`` URL."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class Section:
    """A section of the page that is given by the caller.

    Attributes:
        title: its heading.
        text: plain text; empty lines separate paragraphs.
        figures: shown below the text.
        table: shown below the figures.
        files: the numbers behind them: name of a CSV file without its suffix to table.
    """

    title: str
    text: str
    figures: tuple[Figure, ...] = ()
    table: pd.DataFrame | None = None
    files: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    def paragraphs(self) -> list[str]:
        """Return the paragraphs of the text."""
        return [part.strip() for part in self.text.split("\n\n") if part.strip()]


def write_report(
    audit: Audit,
    folder: Path,
    *,
    title: str,
    sections_before: Sequence[Section] = (),
    sections_after: Sequence[Section] = (),
    curves: Curves | None = None,
) -> Path:
    """Write ``report.html``, ``report.json`` and ``csv/*.csv`` into ``folder``; each file is complete or absent.

    Args:
        audit: the results.
        folder: created if absent; other files in it are kept.
        title: title of the page.
        sections_before: shown below the opening sentences.
        sections_after: shown below all figures.
        curves: model name to its training log, with columns ``epoch`` or ``step``, and losses and other series; the
            names of validation metrics begin with ``val.``.

    Returns:
        The path of the page.

    Raises:
        TableError: a figure that is not a PNG image.
    """
    for section in (*sections_before, *sections_after):
        for figure in section.figures:
            if not figure.png.startswith(b"\x89PNG\r\n\x1a\n"):
                raise TableError(f"section '{section.title}': a figure is not a PNG image")
    tables = csv_tables(audit, curves)
    for section in (*sections_before, *sections_after):
        tables |= section.files
    page = render(audit, title, sections_before, sections_after, curves, sorted(tables))
    for name, table in tables.items():
        put_file(folder / "csv" / f"{name}.csv", table.to_csv(index=False).encode())
    put_file(folder / "report.json", (json.dumps(audit.to_dict(), indent=1, allow_nan=False) + "\n").encode())
    put_file(folder / "report.html", page.encode())
    return folder / "report.html"


def render(
    audit: Audit,
    title: str,
    before: Sequence[Section],
    after: Sequence[Section],
    curves: Curves | None,
    files: Sequence[str],
) -> str:
    """Return the page as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from auxface.evaluation.report.conclusions import TERMS
    from auxface.evaluation.report.corruption_panels import training_curves
    from auxface.evaluation.report.task_view import task_view

    environment = Environment(
        loader=PackageLoader("auxface.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["words"] = lambda name: str(name).replace("_", " ")
    names = list(dict.fromkeys(task for model in audit.models.values() for task in model.tasks))
    views: list[TaskView] = [task_view(audit, name) for name in names]
    return environment.get_template("report.html.j2").render(
        title=title,
        audit=audit,
        models=list(audit.models),
        terms=TERMS,
        tasks=views,
        training=training_curves(curves, list(audit.models)) if curves else [],
        before=before,
        after=after,
        files=files,
    )
