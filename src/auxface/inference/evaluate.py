"""``auxface evaluate``: models and a manifest's split to predictions and a report.

Samples of a split that never came as far as a model: their faces were not found, or their files not read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from auxface import evaluation
from auxface.data.corruptions import SEVERITIES
from auxface.data.manifest import Manifest, read_manifest
from auxface.data.random import sample_seeds
from auxface.data.samples import LoadedSamples, load_samples
from auxface.data.video.clip_batches import per_frame
from auxface.device import check_device
from auxface.errors import InputError
from auxface.evaluation import TableError
from auxface.inference.evaluated_models import Subject, check_subject, open_subjects, predictions_for, unknown_classes
from auxface.inference.explanation_sections import Faces, explanation_sections
from auxface.inference.perturbations import ATTACKS, can_be_attacked, damage_names, damages
from auxface.inference.reconstruction_error import rebuilt_figure
from auxface.output_folder import check_output_folder, refuse_inputs_inside, written_folder
from auxface.progress import progress_bar, progress_steps
from auxface.provenance import provenance
from auxface.training.logging import read_journal
from auxface.training.tasks import label_tensors

_MISSED = ("no_face", "unreadable")


def missed_by_prepare(manifest: Path, split: str) -> dict[str, int]:
    """Counts by reason, from ``NAME.rejected.csv`` that ``auxface prepare`` wrote beside the manifest.

    A dropped copy is no miss, since its image is there once; neither is a file that had no label or no split.

    Args:
        manifest: the manifest's path.
        split: which rows.
    """
    path = manifest.with_name(f"{manifest.stem}.rejected.csv")
    if not path.is_file():
        return {}
    try:
        rejected = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError):
        return {}
    if not {"status", "split"} <= set(rejected.columns):
        return {}
    counts = rejected.loc[rejected["split"] == split, "status"].value_counts()
    return {reason: int(counts[reason]) for reason in _MISSED if reason in counts}


DEFAULT_CORRUPTIONS = ("defocus_blur", "gaussian_noise", "jpeg_compression")
_SHOWN_FACES = 6


class _Explaining(NamedTuple):
    """How many faces maps are averaged over, whether there are several models, and what intervals rest on."""

    faces: int
    several: bool
    resamples: int
    seed: int


_Conditions = dict[str, dict[int | str, evaluation.Predictions]]


def evaluate(
    models: Mapping[str, Path] | Path,
    data: Path,
    out: Path,
    *,
    onnx: Sequence[Path] = (),
    split: str = "test",
    corruptions: Sequence[str] = DEFAULT_CORRUPTIONS,
    severities: Sequence[int] = SEVERITIES,
    baseline: str | None = None,
    validation: bool = True,
    explain: int = 0,
    resamples: int = 1000,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    title: str | None = None,
    sections: Sequence[evaluation.Section] = (),
) -> evaluation.Audit:
    """Score a split with one or several models and write predictions, report page, report.json and CSVs.

    Args:
        models: a model directory or ``.onnx`` file, or several by name for a side-by-side report.
        data: the manifest.
        out: the folder to make: ``predictions.parquet``, ``robustness.parquet`` (with damage), ``validation.parquet``
            (with a validation split); of several models ``predictions.NAME.parquet`` and so on.
        onnx: further exported files. One that auxface did not write takes size, crop, normalization and classes from
            the first model directory, see :class:`~auxface.inference.external_onnx.ForeignOnnx`.
        split: which rows.
        corruptions: kinds of damage, see :func:`~auxface.inference.perturbations.damage_names`. Empty: none.
        severities: of those that are numbered, from 1 to 5.
        baseline: the model that mean corruption errors are relative to.
        validation: whether the manifest's validation split, where it has one, is scored too: it chooses operating
            points, thresholds per group, and the threshold of a model that has none stored.
        explain: faces over which maps of where a model looks, and of what it cannot rebuild, are averaged; 0: none.
        resamples: bootstrap resamples behind each interval.
        seed: of the bootstrap, the corruptions and the masks.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overwrite: replace what auxface wrote in ``out``.
        title: of the page.
        sections: shown on the page before the others.

    Raises:
        InputError: a model that was chosen on this split, a manifest without the model's labels, a damage that is
            unknown or can be done to none of the models, a table that cannot be measured, an output that exists.
    """
    check_output_folder(out, overwrite)
    check_device(device)
    kinds = damage_names(corruptions)
    named = {models.name or "model": models} if isinstance(models, Path) else dict(models)
    subjects = open_subjects(named, onnx, device)
    _check_options(subjects, kinds, severities, baseline)
    of_clips = next((one.name for one in subjects if one.config.recipe.encoder.num_frames is not None), None)
    if explain and of_clips is not None:
        raise InputError(f"{of_clips}: maps are averaged over images, and the model sees clips; leave --explain out")
    given = read_manifest(data)
    refuse_inputs_inside(out, [data, *named.values(), *onnx, *given.paths()])
    manifest = given.only(split)
    for subject in subjects:
        check_subject(subject, manifest, split)
    beside = split != "val" and validation and bool((given.table["split"] == "val").any())

    tables: dict[str, evaluation.Predictions] = {}
    robustness: dict[str, _Conditions] = {}
    chosen: dict[str, evaluation.Predictions] = {}
    explaining = _Explaining(explain, len(subjects) > 1, resamples, seed)
    figures: list[evaluation.Figure] = []
    rebuilding: list[str] = []
    explained: list[evaluation.Section] = []
    for subject in subjects:
        part = _usable(subject, manifest, split)
        tables[subject.name], robustness[subject.name] = _score(subject, part, split, data, kinds, severities, seed)
        if beside:
            chosen[subject.name] = _score_validation(subject, given, data)
        rebuilt = _rebuilt(subject, part.images)
        figures += rebuilt
        rebuilding += [subject.name] if rebuilt else []
        explained += _explained(subject, part.images, tables[subject.name], explaining)
    robustness = {name: found for name, found in robustness.items() if found}
    try:
        with progress_steps("intervals", "measured") as progress:
            audit = evaluation.audit_tables(
                tables,
                robustness=robustness or None,
                baseline=baseline if robustness else None,
                validation=chosen or None,
                resamples=resamples,
                seed=seed,
                progress=progress,
            )
        audit.notes += [*_not_attacked(subjects, kinds), *_cannot_choose(subjects, manifest)]
        trained = {subject.name: subject.trained_on_split(given, split) for subject in subjects}
        if split != "test":
            audit.notes += trained.values()
        audit.method["measured_by"] = provenance()
        with written_folder(out) as folder:
            _write_tables(folder, "predictions", tables, len(subjects))
            _write_tables(folder, "validation", chosen, len(subjects))
            damaged = {name: evaluation.join_conditions(found) for name, found in robustness.items()}
            _write_tables(folder, "robustness", damaged, len(subjects))
            evaluation.write_report(
                audit,
                folder,
                title=title or f"{', '.join(tables)} on {data.name}, {split}",
                sections_before=sections,
                sections_after=[*_rebuilt_sections(figures, split, [trained[name] for name in rebuilding]), *explained],
                curves=_training_curves(subjects) or None,
            )
    except TableError as error:
        raise InputError(f"{data}, {split}: {error}") from None
    return audit


def _check_options(
    subjects: Sequence[Subject], kinds: Sequence[str], severities: Sequence[int], baseline: str | None
) -> None:
    strange = [severity for severity in severities if severity not in SEVERITIES]
    if strange or not severities:
        raise InputError(f"severity {strange[0] if strange else 'none'}: expected some of 1, 2, 3, 4, 5")
    names = [subject.name for subject in subjects]
    if baseline is not None and baseline not in names:
        raise InputError(f"baseline '{baseline}' is none of the models ({', '.join(names)})")
    if kinds and set(kinds) <= set(ATTACKS) and all(map(_cannot_be_attacked, subjects)):
        raise InputError(
            f"{', '.join(kinds)}: attacks need gradients, which none of {', '.join(names)} has; leave attacks out"
        )


def _usable(subject: Subject, manifest: Manifest, split: str) -> LoadedSamples:
    return load_samples(manifest, split, subject.config.recipe)


def _score(
    subject: Subject,
    part: LoadedSamples,
    split: str,
    data: Path,
    kinds: Sequence[str],
    severities: Sequence[int],
    seed: int,
) -> tuple[evaluation.Predictions, _Conditions]:
    config, count = subject.config, len(part.images)
    seeds = sample_seeds(seed, 0, torch.arange(count))
    labels = None if subject.model is None else label_tensors(part.manifest, subject.model.tasks)
    # All frames of a clip are damaged alike.
    seeds = seeds.repeat_interleave(config.recipe.encoder.num_frames or 1)
    steps = list(damages(kinds, seeds, severities=tuple(severities), model=subject.model, labels=labels))
    made = _provenance(subject, part.manifest, data) | {"seed_of_damage": seed}
    left_out = missed_by_prepare(data, split)
    left_out["unreadable"] = left_out.get("unreadable", 0) + len(part.rejected)
    robustness: _Conditions = {}
    with progress_bar(f"score {subject.name}", (1 + len(steps)) * count, "images") as advance:
        logits = subject.score(part.images, advance=advance)
        clean = predictions_for(config, part.manifest, logits, left_out=left_out, provenance=made)
        for step in steps:
            logits = subject.score(part.images, transform=per_frame(step.change), advance=advance)
            damaged = predictions_for(config, part.manifest, logits, provenance=made)
            robustness.setdefault(step.name, {})[step.severity] = damaged
    return clean, robustness


def _score_validation(subject: Subject, manifest: Manifest, data: Path) -> evaluation.Predictions:
    part = _usable(subject, manifest.only("val"), "val")
    with progress_bar(f"score {subject.name}, val", len(part.images), "images") as advance:
        logits = subject.score(part.images, advance=advance)
    return predictions_for(subject.config, part.manifest, logits, provenance=_provenance(subject, part.manifest, data))


def _provenance(subject: Subject, manifest: Manifest, data: Path) -> dict[str, Any]:
    made = provenance(model=subject.name, recipe_hash=subject.config.provenance.get("recipe_hash"), manifest=data.name)
    return made | {"manifest_hash": manifest.hash} | dict(subject.facts)


def _write_tables(folder: Path, what: str, tables: Mapping[str, evaluation.Predictions], models: int) -> None:
    for name, table in tables.items():
        file = f"{what}.parquet" if models == 1 else f"{what}.{name.replace('/', '-')}.parquet"
        evaluation.write_predictions(table, folder / file)


def _cannot_be_attacked(subject: Subject) -> bool:
    return subject.model is None or not can_be_attacked(subject.model)


def _not_attacked(subjects: Sequence[Subject], kinds: Sequence[str]) -> list[str]:
    if not set(kinds) & set(ATTACKS):
        return []
    return [
        f"{subject.name} was not attacked: "
        + ("an exported file has no gradients." if subject.model is None else "it sees texture maps or clips.")
        for subject in subjects
        if _cannot_be_attacked(subject)
    ]


def _cannot_choose(subjects: Sequence[Subject], manifest: Manifest) -> list[str]:
    found = {subject.name: unknown_classes(subject.config, manifest) for subject in subjects}
    return [
        f"{name} does not know {', '.join(f'{what} ({count:,} rows)' for what, count in classes.items())}: "
        "these rows are not measured there."
        for name, classes in found.items()
        if classes
    ]


def _training_curves(subjects: Sequence[Subject]) -> dict[str, pd.DataFrame]:
    logs = {
        subject.name: subject.folder / "log.jsonl"
        for subject in subjects
        if subject.folder is not None and (subject.folder / "log.jsonl").is_file()
    }
    return {name: read_journal(path) for name, path in logs.items()}


def _explained(
    subject: Subject, images: np.ndarray, table: evaluation.Predictions, options: _Explaining
) -> list[evaluation.Section]:
    # Of clips there is no one map of a face to be averaged.
    if subject.model is None or not options.faces or images.ndim != 4:
        return []
    rows = _spread(len(images), options.faces)
    some = Faces(np.array(images[rows]), replace(table, frame=table.frame.iloc[rows].reset_index(drop=True)))
    label = f"{subject.name.replace('/', '-')}_" if options.several else ""
    return explanation_sections(
        subject.name, subject.model, some, label=label, resamples=options.resamples, seed=options.seed
    )


def _spread(count: int, wanted: int) -> np.ndarray:
    """Positions spread evenly over a split, so that the shown faces are not all of one source."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).round().astype(int))


def _rebuilt(subject: Subject, images: np.ndarray) -> list[evaluation.Figure]:
    shown = images[_spread(len(images), _SHOWN_FACES)]
    image = None if subject.model is None else rebuilt_figure(subject.model, shown, range(len(shown)))
    if image is None:
        return []
    name, auxiliary = subject.name, subject.config.recipe.auxiliary
    assert auxiliary is not None
    targets = ", ".join(target.name.replace("_", " ") for target in auxiliary.target)
    caption = (
        f"{name}: {auxiliary.mask_ratio:.0%} of the patches hidden (gray). Target: {targets}; 'rebuilt' is the raw "
        "decoder output for the whole face, nothing of the target pasted in."
    )
    return [evaluation.Figure(image, caption, f"Six faces, what {name} saw of them, and what it rebuilt")]


def _rebuilt_sections(
    figures: Sequence[evaluation.Figure], split: str, trained: Sequence[str]
) -> list[evaluation.Section]:
    if not figures:
        return []
    text = (
        "During training the encoder also sees each face with most patches hidden, and a small decoder must rebuild "
        f"what was there. These are faces of the split '{split}'. {' '.join(trained)}"
    )
    return [evaluation.Section("What the auxiliary task rebuilds", text, tuple(figures), None)]
