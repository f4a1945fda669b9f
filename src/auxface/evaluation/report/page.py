"""The report of an audit: one HTML page, one JSON file, and CSV files with all values.

>>> write_report(audit, Path("report"), title="Ours")  # doctest: +SKIP
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from auxface.evaluation.csv_cells import escape_cells, escape_in_page
from auxface.evaluation.groups import CROSS, natural_order
from auxface.evaluation.intervals import Estimate
from auxface.evaluation.io import put_file
from auxface.evaluation.predictions import TableError
from auxface.evaluation.results import Audit, ModelAudit, TaskAudit

if TYPE_CHECKING:
    from jinja2 import Environment

    from auxface.evaluation.report.task_view import TaskView


_Rows = dict[str, list[dict[str, object]]]


def csv_tables(audit: Audit, curves: Mapping[str, pd.DataFrame] | None = None) -> dict[str, pd.DataFrame]:
    """Return the tables of the CSV files by file name without suffix, such as models, groups, gaps and comparisons."""
    rows: _Rows = {}
    for model, audited in audit.models.items():
        _add_excluded(rows, audited, {"model": model})
        for task, found in audited.tasks.items():
            where: dict[str, object] = {"model": model, "task": task}
            _add(rows, found, where, "sample")
            if found.videos is not None:
                _add(rows, found.videos, where, "video")
            _add_robustness(rows, found, where)
            _add_calibration(rows, found, where)
            _add_segments(rows, found, where)
            for attribute, alone in found.attributes.items():
                _add(rows, alone, where | {"attribute": attribute}, "sample", "attribute_")
    failures = audit.failure_to_detect
    if failures is not None:
        _put(rows, "failure_to_detect", {"failure_to_detect": failures.overall}, {"group": "", "level": ""})
        for group, levels in failures.groups.items():
            for level, one in levels.items():
                _put(rows, "failure_to_detect", {"failure_to_detect": one}, {"group": group, "level": level})
    for item in audit.comparisons:
        facts = {"task": item.task, "metric": item.metric, "group": item.group}
        facts |= {"level": item.level, "reference": item.reference}
        facts |= {"first": item.first, "second": item.second}
        rows.setdefault("comparisons", []).append(facts | _flat(item.difference) | {"p": item.p, "p_holm": item.p_holm})
    tables = {name: pd.DataFrame(found) for name, found in rows.items() if found}
    tables |= _crossed_tables(audit)
    if curves:
        tables["training"] = pd.concat([frame.assign(model=name) for name, frame in curves.items()], ignore_index=True)
    return tables


def _crossed_tables(audit: Audit) -> dict[str, pd.DataFrame]:
    """Return a wide table per pair of groups, with levels of the first group in rows and of the second in columns."""
    cells: dict[str, dict[tuple[str, ...], dict[str, object]]] = {}
    for model, audited in audit.models.items():
        for task, found in audited.tasks.items():
            for group, levels in found.groups.items():
                if CROSS not in group:
                    continue
                for level, estimates in levels.items():
                    first, _, second = level.partition(CROSS)
                    for metric, one in estimates.items() if second else ():
                        for number in ("value", "low", "high", "n", "clusters"):
                            row = cells.setdefault(group, {}).setdefault((model, task, metric, number, first), {})
                            row[second] = getattr(one, number)
    found_tables = {}
    for group, rows in cells.items():
        first = group.partition(CROSS)[0]
        keys = pd.DataFrame(list(rows), columns=["model", "task", "metric", "number", first])
        columns = sorted({level for row in rows.values() for level in row}, key=natural_order)
        values = pd.DataFrame([[row.get(level) for level in columns] for row in rows.values()], columns=columns)
        name = re.sub(r"[^\w.-]+", "_", group.replace(CROSS, "_by_"))
        found_tables[f"crossed_{name}"] = pd.concat([keys, values], axis=1)
    return found_tables


def _add(rows: _Rows, found: TaskAudit, where: dict[str, object], unit: str, prefix: str = "") -> None:
    """Add the metrics by sample or by video; metrics of individual attributes go into separate files."""
    where = where | {"unit": unit}
    _put(rows, f"{prefix}models", found.overall, where)
    for group, levels in found.groups.items():
        for level, estimates in levels.items():
            _put(rows, f"{prefix}groups", estimates, where | {"group": group, "level": level})
    for group, estimates in found.gaps.items():
        _put(rows, f"{prefix}gaps", estimates, where | {"group": group}, "gap")
    for dataset, estimates in found.datasets.items():
        _put(rows, f"{prefix}datasets", estimates, where | {"dataset": dataset})
    if found.confusion is not None:
        for true, counts in zip(found.task.classes, found.confusion):
            for predicted, count in zip(found.task.classes, counts):
                facts: dict[str, object] = {"true": true, "predicted": predicted, "count": int(count)}
                rows.setdefault(f"{prefix}confusion", []).append(where | facts)


def _add_robustness(rows: _Rows, found: TaskAudit, where: dict[str, object]) -> None:
    for corruption, steps in found.robustness.items():
        for severity, estimates in steps.items():
            _put(rows, "robustness", estimates, where | {"corruption": corruption, "severity": severity})
    for corruption, steps in found.robustness_groups.items():
        for severity, by_group in steps.items():
            at: dict[str, object] = where | {"corruption": corruption, "severity": severity}
            for group, levels in by_group.groups.items():
                for level, estimates in levels.items():
                    _put(rows, "robustness_groups", estimates, at | {"group": group, "level": level})
            for group, estimates in by_group.gaps.items():
                _put(rows, "robustness_gaps", estimates, at | {"group": group}, "gap")
    _put(rows, "robustness_summary", found.robustness_summary, where)


def _add_calibration(rows: _Rows, found: TaskAudit, where: dict[str, object]) -> None:
    for part in found.reliability:
        rows.setdefault("reliability", []).append(where | vars(part))
    for rule, point in found.operating_points.items():
        _put(rows, "operating_points", point.rates, where | {"rule": rule, "threshold": point.threshold})
    for group, own in found.group_thresholds.items():
        at: dict[str, object] = where | {"group": group}
        for level, threshold in own.thresholds.items():
            facts: dict[str, object] = {"metric": "threshold", "level": level, "value": threshold}
            rows.setdefault("group_thresholds", []).append(at | facts)
        _put(rows, "group_thresholds", own.overall, at)
        _put(rows, "group_thresholds", own.gaps, at)
    for prevalence, found_at in found.prevalence.items():
        facts = where | {"prevalence": prevalence}
        rows.setdefault("prevalence", []).append(facts | {"metric": "precision"} | _flat(found_at.precision))
        for miss, cost in found_at.costs.items():
            chosen = found_at.cheapest.get(miss)
            best = {} if chosen is None else {f"cheapest_{name}": one for name, one in chosen.to_dict().items()}
            rows["prevalence"].append(facts | {"metric": "expected_cost", "miss_cost": miss} | _flat(cost) | best)
    _put(rows, "calibrated", found.calibrated, where | {"temperature": found.temperature})


def _add_segments(rows: _Rows, found: TaskAudit, where: dict[str, object]) -> None:
    if found.weak_segments is None:
        return
    for one in found.weak_segments.segments:
        facts = where | {"metric": found.weak_segments.metric, "segment": one.name}
        facts |= {"p": one.p, "p_holm": one.p_holm, "confirmed": one.confirmed}
        for part in ("found", "value", "rest", "difference"):
            rows.setdefault("weak_segments", []).append(facts | {"part": part} | _flat(getattr(one, part)))


def _add_excluded(rows: _Rows, audited: ModelAudit, where: dict[str, object]) -> None:
    for reason, count in audited.left_out.items():
        facts: dict[str, object] = {"task": "", "metric": "", "reason": reason, "count": count, "value": None}
        rows.setdefault("left_out", []).append(where | facts)
    for task, found in audited.tasks.items():
        own: dict[str, object] = where | {"task": task}
        facts = {"metric": "", "reason": "no score", "count": found.unscored, "value": None}
        if found.unscored:
            rows.setdefault("left_out", []).append(own | facts)
        for metric, estimate in found.counted_as_errors.items():
            facts = {"metric": metric, "reason": "counting them as errors", "count": estimate.n}
            rows.setdefault("left_out", []).append(own | facts | {"value": estimate.value})


def _put(
    rows: _Rows, file: str, found: Mapping[str, Estimate], where: dict[str, object], column: str = "metric"
) -> None:
    for name, estimate in found.items():
        rows.setdefault(file, []).append(where | {column: name} | _flat(estimate))


def _flat(estimate: Estimate) -> dict[str, object]:
    numbers: dict[str, object] = {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}
    # The precision of the levels is nested, so it is stored only in report.json.
    more = {name: fact for name, fact in (estimate.more or {}).items() if name != "levels"}
    return numbers | {"clusters": estimate.clusters} | more | {"why": estimate.why or ""}


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
    """A section of the report page, supplied by the caller.

    Attributes:
        title: heading of the section.
        text: plain text; empty lines separate paragraphs.
        figures: figures shown below the text.
        table: table shown below the figures.
        files: tables with the values behind the figures and the table, by name of the CSV file without suffix.
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
    """Write ``report.html``, ``report.json`` and ``csv/*.csv`` to ``folder``; no file is left partially written.

    Args:
        audit: results of the audit.
        folder: folder to write to; it is created if needed, and other files in it are kept.
        title: title of the report page.
        sections_before: sections shown below the opening sentences.
        sections_after: sections shown below all results.
        curves: training log of each model, by name, with a column ``epoch`` or ``step`` and columns of losses and other
            series. The names of validation metrics begin with ``val.``.

    Returns:
        The path of the report page.

    Raises:
        TableError: a figure is not a PNG image.
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
        put_file(folder / "csv" / f"{name}.csv", escape_cells(table).to_csv(index=False).encode())
    put_file(
        folder / "report.json", (json.dumps(audit.to_dict(), separators=(",", ":"), allow_nan=False) + "\n").encode()
    )
    # A title may contain a file name that is not valid UTF-8.
    put_file(folder / "report.html", page.encode(errors="backslashreplace"))
    return folder / "report.html"


def script_source() -> tuple[str, str]:
    """Return the script of the report page, and its ``sha256-`` source for a content security policy."""
    script = files("auxface.evaluation").joinpath("templates/report.js").read_text(encoding="utf-8")
    # The browser hashes the text between the tags, which begins and ends with a line break.
    return script, "sha256-" + base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()


def render(
    audit: Audit,
    title: str,
    before: Sequence[Section],
    after: Sequence[Section],
    curves: Curves | None,
    csv_files: Sequence[str],
) -> str:
    """Return the report page as HTML."""
    from auxface.evaluation.report.property_panels import failure_rows
    from auxface.evaluation.report.task_view import task_view
    from auxface.evaluation.report.training_panels import auxiliary_panel, training_curves
    from auxface.evaluation.report.wording import TERMS

    environment = page_environment("auxface.evaluation")
    script, source = script_source()
    names = list(dict.fromkeys(task for model in audit.models.values() for task in model.tasks))
    views: list[TaskView] = [task_view(audit, name) for name in names]
    auxiliary = auxiliary_panel(audit, curves)
    omitted = frozenset() if auxiliary is None else auxiliary.columns
    return environment.get_template("report.html.j2").render(
        title=title,
        audit=audit,
        models=list(audit.models),
        terms=TERMS,
        tasks=views,
        auxiliary=auxiliary,
        failures=failure_rows(audit.failure_to_detect),
        training=training_curves(curves, list(audit.models), omitted) if curves else [],
        before=before,
        after=after,
        files=csv_files,
        crossed_files=[name for name in csv_files if name.startswith("crossed_")],
        script=script,
        script_source=source,
    )


def page_environment(*packages: str) -> "Environment":
    """Return the Jinja environment for report pages, with the packages' templates and the filters of the macros."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=escape_in_page,
    )
    environment.filters["breakable"] = _breakable
    environment.filters["words"] = lambda name: str(name).replace("_", " ")
    return environment


def _breakable(name: object) -> str:
    """Return an escaped name with optional line breaks after underscores, hyphens and slashes."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([_/-])(?=\w)", r"\1<wbr>", str(escape(str(name)))))
