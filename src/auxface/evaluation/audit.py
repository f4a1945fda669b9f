"""The audit of files: predictions of any model in, a report folder out.

>>> audit(Path("predictions.parquet"), Path("audit"))  # doctest: +SKIP
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from auxface import evaluation
from auxface.errors import InputError
from auxface.evaluation import Predictions, TableError
from auxface.evaluation.intervals import RESAMPLES
from auxface.output_folder import check_output_folder, refuse_inputs_inside, written_folder
from auxface.progress import progress_steps
from auxface.provenance import provenance as measured_by

Found = TypeVar("Found")


def audit(
    tables: Path | Sequence[Path],
    out: Path,
    *,
    names: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    split: str | None = None,
    validation: Sequence[Path] = (),
    robustness: Sequence[Path] = (),
    baseline: str | None = None,
    matrix: bool = False,
    clusters: evaluation.Clusters = "auto",
    resamples: int = RESAMPLES,
    seed: int = 0,
    title: str | None = None,
    overwrite: bool = False,
) -> evaluation.Audit:
    """Measure tables of predictions; write report.html, report.json and a CSV file for every figure.

    Args:
        tables: Parquet or CSV files with ``true.*`` and ``score.*`` columns, one per model.
        out: the folder to create.
        names: names of the models, one per table; by default those of the files. With ``matrix``, names of the
            training sets, which may repeat.
        tasks: names of the tasks to measure; None: all.
        split: split to measure; needed if a column ``split`` holds several.
        validation: a table per model on which operating points, a temperature, and thresholds where none are stored are
            chosen. Of a table with several splits the rows of ``val`` are used.
        robustness: a table per model with predictions on corrupted images, with columns ``corruption`` and
            ``severity``.
        baseline: the model that mean corruption errors are relative to.
        matrix: join the tables of one training set into one model, whose test sets are the values of ``dataset``. The
            training set is the name in ``names``, else ``trained_on`` in the provenance of the table.
        clusters: what is resampled: ``auto`` (videos, else sources, else rows), ``source`` or ``row``.
        resamples: number of bootstrap resamples.
        seed: seed of the resamples.
        title: title of the page.
        overwrite: replace the files that auxface wrote in ``out``.

    Raises:
        InputError: a table that cannot be read or measured, options that do not match, an output that exists.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> audit = auxface.audit(Path("report/predictions.parquet"), Path("audit"), resamples=100)
        >>> sorted(path.name for path in Path("audit").glob("report.*"))
        ['report.html', 'report.json']
    """
    check_output_folder(out, overwrite)
    paths = [tables] if isinstance(tables, Path) else list(tables)
    if not paths:
        raise InputError("no table was given; expected at least one file with columns true.TASK and score.TASK.CLASS")
    refuse_inputs_inside(out, [*paths, *validation, *robustness])
    try:
        read = [_only_tasks(_only_split(evaluation.read_predictions(path), split, path), tasks, path) for path in paths]
        called = _names(paths, read, names=names, matrix=matrix)
        models, files = _models(paths, read, called, matrix=matrix)
        with progress_steps("intervals", "parts") as progress:
            found = evaluation.audit_tables(
                models,
                robustness=_beside(robustness, models, "robustness", evaluation.read_conditions),
                baseline=baseline,
                validation=_beside(validation, models, "validation", _read_validation),
                clusters=clusters,
                resamples=resamples,
                seed=seed,
                progress=progress,
            )
        found.method["files"] = files
        found.method["measured_by"] = measured_by()
        with written_folder(out) as beside:
            evaluation.write_report(found, beside, title=title or f"Audit of {', '.join(models)}")
    except TableError as error:
        raise InputError(str(error)) from None
    return found


def _only_split(table: Predictions, split: str | None, path: Path) -> Predictions:
    if "split" not in table.frame.columns:
        if split is not None:
            raise InputError(f"{path}: no column 'split', so --split {split} cannot be applied; remove the option")
        return table
    have = sorted(map(str, table.frame["split"].dropna().unique()))
    if split is None:
        if len(have) > 1:
            raise InputError(f"{path}: holds rows of several splits ({', '.join(have)}); choose one with --split")
        return table
    if split not in have:
        raise InputError(f"{path}: no row of split '{split}' (it has: {', '.join(have) or 'none'})")
    rows = table.frame["split"].astype(str) == split
    return Predictions(table.frame[rows].reset_index(drop=True), table.tasks, table.left_out, table.provenance)


def _only_tasks(table: Predictions, tasks: Sequence[str] | None, path: Path) -> Predictions:
    if not tasks:
        return table
    have = [task.name for task in table.tasks]
    for name in tasks:
        if name not in have:
            raise InputError(f"{path}: no task '{name}' (it has: {', '.join(have)})")
    return Predictions(table.frame, tuple(map(table.task, tasks)), table.left_out, table.provenance)


def _names(
    paths: Sequence[Path], read: Sequence[Predictions], *, names: Sequence[str] | None, matrix: bool
) -> list[str]:
    if names:
        if len(names) != len(paths):
            raise InputError(f"{len(names)} names for {len(paths)} tables; give one name per table")
        if len(set(names)) < len(names) and not matrix:
            raise InputError(
                f"two tables are both called '{_repeated(names)}'; give each its own name, or add --matrix"
            )
        return list(names)
    if matrix:
        trained = [_trained_on(table) for table in read]
        for path, name in zip(paths, trained, strict=True):
            if not name:
                raise InputError(
                    f"{path}: the training set of its model is not stored in the table; give it with --names"
                )
        return trained
    for depth in range(1, 1 + max(len(path.parts) for path in paths)):
        tails = ["/".join((*path.parts[-depth:-1], path.stem)) for path in paths]
        if len(set(tails)) == len(tails):
            return tails
    raise InputError(f"the table {_repeated([str(path) for path in paths])} is given twice")


def _trained_on(table: Predictions) -> str:
    """Return the training sets of the model of a table as one name; empty if they are not stored."""
    named = table.provenance.get("trained_on") or ""
    return named if isinstance(named, str) else " + ".join(map(str, named)) if isinstance(named, list) else ""


def _repeated(names: Sequence[str]) -> str:
    return next((name for place, name in enumerate(names) if name in names[:place]), names[0])


def _models(
    paths: Sequence[Path], read: Sequence[Predictions], called: Sequence[str], *, matrix: bool
) -> tuple[dict[str, Predictions], dict[str, list[dict[str, str]]]]:
    """Return the models by name, and the files of each."""
    files: dict[str, list[dict[str, str]]] = {}
    rows: dict[str, list[Predictions]] = {}
    for path, table, name in zip(paths, read, called, strict=True):
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        files.setdefault(name, []).append({"file": path.name, "sha256": digest})
        stored = table.provenance.get("trained_on")
        # Several datasets stay a list, so that the matrix frames each of them.
        trained = {"trained_on": stored if stored and name == _trained_on(table) else name}
        provenance = table.provenance | (trained if matrix else {})
        rows.setdefault(name, []).append(Predictions(table.frame, table.tasks, table.left_out, provenance))
    if matrix:
        for path, table in zip(paths, read, strict=True):
            if "dataset" not in table.frame.columns:
                raise InputError(f"{path}: no column 'dataset'; the matrix needs it as the name of the test set")
    return {name: evaluation.merge_predictions(parts) for name, parts in rows.items()}, files


def _beside(
    paths: Sequence[Path], models: Mapping[str, Predictions], what: str, read: Callable[[Path], Found]
) -> dict[str, Found]:
    """Return a further table per model, in the same order; no table at all is allowed."""
    if paths and len(paths) != len(models):
        raise InputError(
            f"{len(paths)} {what} tables for {len(models)} models ({', '.join(models)}); give one per model"
        )
    return {name: read(path) for name, path in zip(models, paths)}


def _read_validation(path: Path) -> Predictions:
    table = evaluation.read_predictions(path)
    several = "split" in table.frame.columns and table.frame["split"].nunique() > 1
    return _only_split(table, "val" if several else None, path)
