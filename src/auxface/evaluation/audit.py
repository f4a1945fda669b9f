"""Evaluate the predictions of any model, given as files or data frames, and write a report.

>>> audit(Path("predictions.parquet"), Path("audit"))  # doctest: +SKIP
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pandas as pd

from auxface import evaluation
from auxface.errors import InputError
from auxface.evaluation import Predictions, TableError
from auxface.evaluation.checks import duplicate_note
from auxface.evaluation.infer_tasks import KINDS
from auxface.evaluation.predictions import SAMPLE, text_of
from auxface.evaluation.resampling import RESAMPLES
from auxface.output_folder import check_output_folder, refuse_inputs_inside, written_folder
from auxface.progress import progress_steps
from auxface.provenance import provenance as measured_by

Found = TypeVar("Found")


Table = Path | str | pd.DataFrame


def audit(
    tables: Table | Sequence[Table],
    out: Path | str | None = None,
    *,
    true: str | None = None,
    score: str | Sequence[str] | None = None,
    predicted: str | None = None,
    score_for: Mapping[str, str] | None = None,
    groups: str | Sequence[str] = (),
    cluster: str = "auto",
    positive: str | float | None = None,
    clean_levels: bool = False,
    weight: str | None = None,
    threshold: float | None = None,
    kind: str | None = None,
    properties: str | Sequence[str] = (),
    references: Mapping[str, str] | None = None,
    names: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    split: str | None = None,
    validation: Sequence[Table] = (),
    robustness: Sequence[Table] = (),
    baseline: str | None = None,
    matrix: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
    title: str | None = None,
    overwrite: bool = False,
) -> evaluation.Audit:
    """Evaluate tables of predictions, and write report.html, report.json and CSV files with all values.

    A table with the columns ``true.*``, ``score.*`` and ``group.*`` needs no further arguments. For other tables, the
    arguments ``true`` to ``weight`` name the columns. Columns that are not named are recognized if their names are
    unambiguous.

    Args:
        tables: files (Parquet, CSV, JSON lines, Excel) or data frames, one per model.
        out: folder to create; by default nothing is written.
        true: column of the true label.
        score: column of the score of the positive class. Several columns of one table are compared as the scores of
            several models.
        predicted: column of predicted classes, used in place of score and threshold.
        score_for: name of the score column of each class.
        groups: columns that hold the groups.
        cluster: unit of resampling: ``auto`` (videos if present, otherwise sources, otherwise rows), ``source``,
            ``row``, or the name of a column that identifies the cluster of each row.
        positive: value of the true label that denotes the positive class, for which scores are high.
        clean_levels: merge levels that differ only in spaces or letter case.
        weight: column of sample weights.
        threshold: lowest score at which a sample counts as positive.
        kind: ``class``, ``binary``, ``ordinal`` or ``verification``; needed if the values are ambiguous.
        properties: columns (numeric or categorical) to search for weak segments. The search uses the validation table
            if given, otherwise the ``val`` rows of the table, otherwise a random half of its clusters. The segments
            found are tested on other samples.
        references: reference level of each group, with which the other levels are compared; by default the level with
            the most samples.
        names: names of the models, one per table (or score column); by default the file names (or the names of the
            columns). With ``matrix``, the names of the training sets, which may be repeated.
        tasks: names of the tasks to evaluate; by default all tasks.
        split: split to evaluate; required if the column ``split`` holds several splits.
        validation: a validation table per model, used to choose operating points, a temperature and, for tasks without
            stored thresholds, the thresholds. If a table has several splits, the rows of ``val`` are used.
        robustness: a table per model with its predictions on corrupted images and the columns ``corruption`` and
            ``severity``.
        baseline: name of the reference model for mean corruption errors.
        matrix: merge the tables of each training set into one model, whose test sets are the values of ``dataset``. The
            training set of a table is its entry in ``names`` if given, otherwise ``trained_on`` in its provenance.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.
        title: title of the report page.
        overwrite: whether to replace files in ``out`` that auxface wrote.

    Raises:
        InputError: a table cannot be read or measured, the options are inconsistent, or the output already exists.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> audit = auxface.audit(Path("report/predictions.parquet"), Path("audit"), resamples=100)
        >>> sorted(path.name for path in Path("audit").glob("report.*"))
        ['report.html', 'report.json']
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"fake": [0, 1, 0, 1] * 25, "p": [0.1, 0.9, 0.4, 0.3] * 25, "sex": list("FFMM") * 25})
        >>> audit = auxface.audit(frame, true="fake", score="p", groups=["sex"], resamples=100)
        >>> audit.models["table"].tasks["fake"].groups["sex"]["F"]["accuracy"].value
        1.0
    """
    given = [tables] if isinstance(tables, Path | str | pd.DataFrame) else list(tables)
    given = [Path(one) if isinstance(one, str) else one for one in given]
    out = None if out is None else Path(out)
    if out is not None:
        check_output_folder(out, overwrite)
        refuse_inputs_inside(out, [Path(one) for one in [*given, *validation, *robustness] if _is_file(one)])
    if not given:
        raise InputError("no table was given; expected at least one file with columns true.TASK and score.TASK.CLASS")
    if kind is not None and kind not in KINDS:
        raise InputError(f"--kind {kind} is not known; use one of {', '.join(KINDS)}")
    scores = [score] if isinstance(score, str) else list(score or ())
    columns = evaluation.Columns(
        true, next(iter(scores), None), predicted, dict(score_for or {}),
        (groups,) if isinstance(groups, str) else tuple(groups), cluster,
        None if positive is None else text_of(positive), clean_levels, weight, threshold, kind,
        (properties,) if isinstance(properties, str) else tuple(properties),
    )  # fmt: skip
    try:
        readings = _readings(given, columns, scores)
        given = [one for one, _ in readings]
        whole = [evaluation.read_predictions(one, own) for one, own in readings]
        if len(scores) > 1:
            whole = list(map(_with_row_numbers, whole))
        read = [_only_tasks(_only_split(table, split, one), tasks, one) for table, one in zip(whole, given)]
        called = _names(given, read, names=names, matrix=matrix, scores=scores)
        models, files = _models(given, read, called, matrix=matrix)
        with progress_steps("intervals", "parts") as progress:
            found = evaluation.audit_tables(
                models,
                robustness=_beside(
                    _readings(robustness, columns, scores), models, "robustness", evaluation.read_conditions
                ),
                baseline=baseline,
                search=None if validation or matrix else _search_tables(called, whole, split),
                validation=_beside(_readings(validation, columns, scores), models, "validation", _read_validation),
                clusters=cluster if cluster in ("source", "row") else "auto",
                resamples=resamples,
                seed=seed,
                references=references,
                progress=progress,
            )
        found.method["files"] = files
        found.method["measured_by"] = measured_by()
        if out is not None:
            with written_folder(out) as beside:
                evaluation.write_report(found, beside, title=title or f"Audit of {', '.join(models)}")
    except TableError as error:
        raise InputError(str(error)) from None
    return found


def _is_file(table: Table) -> bool:
    return not isinstance(table, pd.DataFrame)


def _name(table: Table) -> str:
    return str(table) if _is_file(table) else "the table"


def _readings(
    tables: Sequence[Table], columns: evaluation.Columns, scores: Sequence[str]
) -> list[tuple[Table, evaluation.Columns]]:
    """Return each table with the roles of its columns; a table with several scores is read once per score."""
    if len(scores) < 2:
        return [(one, columns) for one in tables]
    if len(set(scores)) < len(scores):
        raise InputError(f"--score {_repeated(scores)} is given twice; give each column once")
    if len(tables) > 1:
        raise InputError(
            f"{len(scores)} --score columns are the models of one table, but {len(tables)} tables are given; give one "
            "table, or one --score for all tables"
        )
    if columns.predicted or columns.score_for:
        option = "--predicted" if columns.predicted else "--score-for"
        raise InputError(f"{option} cannot be combined with {len(scores)} --score columns; remove {option}")
    return [
        (one, replace(columns, score=name, other_scores=[other for other in scores if other != name]))
        for one in tables
        for name in scores
    ]


def _with_row_numbers(table: Predictions) -> Predictions:
    """Return the table with the number of each row as the name of its sample."""
    frame = table.frame.assign(**{SAMPLE: range(1, len(table.frame) + 1)})
    return replace(table, frame=frame, notes=[*table.notes, *duplicate_note(table)])


def _only_split(table: Predictions, split: str | None, path: Table) -> Predictions:
    if "split" not in table.frame.columns:
        if split is not None:
            raise InputError(
                f"{_name(path)}: no column 'split', so --split {split} cannot be applied; remove the option"
            )
        return table
    have = sorted(map(str, table.frame["split"].dropna().unique()))
    if split is None:
        if len(have) > 1:
            raise InputError(
                f"{_name(path)}: holds rows of several splits ({', '.join(have)}); choose one with --split"
            )
        return table
    if split not in have:
        raise InputError(f"{_name(path)}: no rows of split '{split}' (splits: {', '.join(have) or 'none'})")
    rows = table.frame["split"].astype(str) == split
    return replace(table, frame=table.frame[rows].reset_index(drop=True))


def _search_tables(names: Sequence[str], tables: Sequence[Predictions], split: str | None) -> dict[str, Predictions]:
    """Return the ``val`` rows of each table that has such rows, if another split is measured."""
    found = {}
    for name, table in zip(names, tables):
        if split not in (None, "val") and "split" in table.frame.columns:
            rows = table.frame["split"].astype(str) == "val"
            if rows.any():
                found[name] = replace(table, frame=table.frame[rows].reset_index(drop=True))
    return found


def _only_tasks(table: Predictions, tasks: Sequence[str] | None, path: Table) -> Predictions:
    if not tasks:
        return table
    have = [task.name for task in table.tasks]
    for name in tasks:
        if name not in have:
            raise InputError(f"{_name(path)}: no task '{name}' (tasks: {', '.join(have)})")
    return replace(table, tasks=tuple(map(table.task, tasks)))


def _names(
    paths: Sequence[Table],
    read: Sequence[Predictions],
    *,
    names: Sequence[str] | None,
    matrix: bool,
    scores: Sequence[str],
) -> list[str]:
    if names:
        if len(names) != len(paths):
            unit = "table" if len(scores) < 2 else "score column"
            raise InputError(
                f"{len(names)} {'name' if len(names) == 1 else 'names'} for {len(paths)} "
                f"{unit}{'' if len(paths) == 1 else 's'}; give one name per {unit}"
            )
        if len(set(names)) < len(names) and not matrix:
            raise InputError(
                f"two tables are both called '{_repeated(names)}'; give each its own name, or add --matrix"
            )
        return list(names)
    if len(scores) > 1:
        return list(scores)
    if matrix:
        trained = [_trained_on(table) for table in read]
        for path, name in zip(paths, trained, strict=True):
            if not name:
                raise InputError(
                    f"{_name(path)}: the table does not record the data set on which the model was trained; specify it "
                    "with --names"
                )
        return trained
    files = [path for path in paths if isinstance(path, Path)]
    tails = []
    for depth in range(1, 1 + max((len(path.parts) for path in files), default=0)):
        tails = ["/".join((*path.parts[-depth:-1], path.stem)) for path in files]
        if len(set(tails)) == len(tails):
            break
    else:
        if files:
            raise InputError(f"the table {_repeated([str(path) for path in files])} is given twice")
    named, frames = iter(tails), len(paths) - len(files)
    numbers = iter(["table"] if frames == 1 else [f"table {place + 1}" for place in range(frames)])
    return [next(named) if isinstance(path, Path) else next(numbers) for path in paths]


def _trained_on(table: Predictions) -> str:
    """Return the names of the model's training sets, joined into one; an empty string if the table stores none."""
    named = table.provenance.get("trained_on") or ""
    return named if isinstance(named, str) else " + ".join(map(str, named)) if isinstance(named, list) else ""


def _repeated(names: Sequence[str]) -> str:
    return next((name for place, name in enumerate(names) if name in names[:place]), names[0])


def _models(
    paths: Sequence[Table], read: Sequence[Predictions], called: Sequence[str], *, matrix: bool
) -> tuple[dict[str, Predictions], dict[str, list[dict[str, str]]]]:
    """Return the predictions and the input files of each model, both by model name."""
    files: dict[str, list[dict[str, str]]] = {}
    rows: dict[str, list[Predictions]] = {}
    for path, table, name in zip(paths, read, called, strict=True):
        if isinstance(path, Path):
            with path.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            files.setdefault(name, []).append({"file": path.name, "sha256": digest})
        stored = table.provenance.get("trained_on")
        # Several training sets are kept as a list, so that the matrix marks the cell of each set.
        trained = {"trained_on": stored if stored and name == _trained_on(table) else name}
        provenance = table.provenance | (trained if matrix else {})
        rows.setdefault(name, []).append(replace(table, provenance=provenance))
    if matrix:
        for path, table in zip(paths, read, strict=True):
            if "dataset" not in table.frame.columns:
                raise InputError(f"{_name(path)}: no column 'dataset'; the matrix needs it as the name of the test set")
    return {name: evaluation.merge_predictions(parts) for name, parts in rows.items()}, files


def _beside(
    readings: Sequence[tuple[Table, evaluation.Columns]],
    models: Mapping[str, Predictions],
    what: str,
    read: Callable[[Table, evaluation.Columns], Found],
) -> dict[str, Found]:
    """Return one additional table per model, such as its validation table; empty if none were given."""
    if readings and len(readings) != len(models):
        raise InputError(
            f"{len(readings)} {what} tables for {len(models)} models ({', '.join(models)}); give one per model"
        )
    return {name: read(path, columns) for name, (path, columns) in zip(models, readings)}


def _read_validation(path: Table, columns: evaluation.Columns) -> Predictions:
    table = evaluation.read_predictions(path, columns)
    several = "split" in table.frame.columns and table.frame["split"].nunique() > 1
    return _only_split(table, "val" if several else None, path)
