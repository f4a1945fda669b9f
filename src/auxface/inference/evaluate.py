"""Evaluate models on a split of a manifest, and write predictions, robustness results and a report.

Example::

    audit = evaluate(Path("runs/x"), Path("faces.parquet"), Path("runs/x/test"))
    audit.models["x"].tasks["emotion"].overall["accuracy"]
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from auxface import evaluation
from auxface.data.corruptions import SEVERITIES
from auxface.data.manifest import Manifest, read_manifest
from auxface.data.samples import LoadedSamples, load_samples
from auxface.device import check_device, resolve_device
from auxface.errors import InputError
from auxface.evaluation import TableError
from auxface.evaluation.resampling import RESAMPLES
from auxface.inference.explanation_sections import LabeledFaces, explanation_sections
from auxface.inference.perturbations import ATTACKS, can_be_attacked, perturbation_names
from auxface.inference.reconstruction_error import reconstruction_figure
from auxface.inference.sample_properties import (
    manifest_files,
    probe_frozen_features,
    probe_manifest,
    score_in_one_format,
    two_class_tasks,
    with_properties,
)
from auxface.inference.score_split import (
    Conditions,
    EvaluatedModel,
    check_model,
    detection_failures,
    load_models,
    score_split,
    score_validation,
    unknown_classes,
)
from auxface.model.config import LEARNED_FROM
from auxface.output_folder import check_output_folder, refuse_inputs_inside, written_folder
from auxface.progress import progress_steps
from auxface.provenance import provenance
from auxface.training.logging import read_log

DEFAULT_CORRUPTIONS = ("defocus_blur", "gaussian_noise", "jpeg_compression")
_SHOWN_FACES = 6


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
    same_format: bool = False,
    explain: int = 0,
    resamples: int = RESAMPLES,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    title: str | None = None,
    sections: Sequence[evaluation.Section] = (),
) -> evaluation.Audit:
    """Score a split with one or more models, and write predictions, a report page, report.json and CSV files.

    Args:
        models: path of a model directory or ``.onnx`` file; or, for a report that compares several models, a mapping
            from model names to such paths.
        data: path of the manifest.
        out: folder to write. It receives ``predictions.parquet``, ``robustness.parquet`` (with perturbations) and
            ``validation.parquet`` (with a validation split); for several models, ``predictions.NAME.parquet`` and so
            on.
        onnx: paths of additional exported files. For a file that auxface did not export, the size, crop, normalization
            and classes come from the first model directory; see :class:`~auxface.inference.external_onnx.ExternalOnnx`.
        split: split to score.
        corruptions: names of perturbations, possibly none; see
            :func:`~auxface.inference.perturbations.perturbation_names`.
        severities: severities from 1 to 5, for perturbations that have severities.
        baseline: name of the reference model for mean corruption errors.
        validation: whether to also score the validation split of the manifest, if it has one. This split is used to
            choose operating points, thresholds per group, and thresholds of models that store none.
        same_format: whether to also score all images in a common format (JPEG with the same size and quality) and
            report how much the AUC decreases for tasks with two classes.
        explain: number of faces over which saliency maps and reconstruction errors are averaged; 0 to omit them.
        resamples: number of bootstrap resamples for each interval.
        seed: seed of the bootstrap, the perturbations and the masks.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overwrite: whether to replace files in ``out`` that auxface wrote.
        title: title of the report page.
        sections: additional report sections, shown before the others.

    Returns:
        The audit that the report shows.

    Raises:
        InputError: a model was selected on this split; the manifest lacks a label; a perturbation is unknown or applies
            to none of the models; metrics cannot be computed; or the output already exists.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> model, data = Path("runs/a"), Path("faces.parquet")
        >>> audit = auxface.evaluate(model, data, Path("report"), corruptions=(), resamples=100)
        >>> Path("report/report.html").exists()
        True
    """
    check_output_folder(out, overwrite)
    check_device(device)
    perturbed = perturbation_names(corruptions)
    paths = {models.name or "model": models} if isinstance(models, Path) else dict(models)
    loaded = load_models(paths, onnx, device)
    _check_options(loaded, perturbed, severities, baseline)
    video_model = next((model.name for model in loaded if model.config.recipe.encoder.num_frames is not None), None)
    if explain and video_model is not None:
        raise InputError(
            f"{video_model}: --explain averages saliency maps over images, but this model takes video clips; remove "
            "--explain"
        )
    compared = {model.name: two_class_tasks(model) for model in loaded} if same_format else {}
    manifest = read_manifest(data)
    refuse_inputs_inside(out, [data, *paths.values(), *onnx, *manifest.paths()])
    scored = manifest.only(split)
    for model in loaded:
        check_model(model, scored, split)
    score_val = split != "val" and validation and bool((manifest.table["split"] == "val").any())

    tables: dict[str, evaluation.Predictions] = {}
    robustness: dict[str, Conditions] = {}
    validations: dict[str, evaluation.Predictions] = {}
    figures: dict[str, evaluation.Figure] = {}
    explanations: list[evaluation.Section] = []
    files: dict[str, pd.DataFrame | None] = {}
    loaded_samples: dict[str, LoadedSamples] = {}
    recoded: dict[str, tuple[evaluation.Predictions, str]] = {}
    for model in loaded:
        name, recipe = model.name, model.config.recipe
        samples = loaded_samples[name] = load_samples(scored, split, recipe)
        tables[name], robustness[name] = score_split(
            model, samples, data, split, perturbed=perturbed, severities=severities, seed=seed
        )
        files[name] = manifest_files(samples.manifest, split)
        tables[name] = with_properties(tables[name], samples, files[name])
        if same_format:
            recoded[name] = score_in_one_format(model, samples, files[name], compared[name][0])
        if score_val:
            val = load_samples(manifest.only("val"), "val", recipe)
            validations[name] = score_validation(model, val, data)
            validations[name] = with_properties(validations[name], val, manifest_files(val.manifest, "val"))
        if (figure := _reconstruction_figure(model, samples.images)) is not None:
            figures[name] = figure
        # A clip has no single map of the face that could be averaged.
        if model.model is not None and explain and samples.images.ndim == 4:
            faces = _spread_faces(samples.images, tables[name], explain)
            prefix = f"{name.replace('/', '-')}_" if len(loaded) > 1 else ""
            explanations += explanation_sections(
                name, model.model, faces, prefix=prefix, resamples=resamples, seed=seed
            )
    robustness = {name: found for name, found in robustness.items() if found}
    try:
        with progress_steps("intervals", "measured") as progress:
            audit = evaluation.audit_tables(
                tables,
                robustness=robustness or None,
                baseline=baseline if robustness else None,
                validation=validations or None,
                resamples=resamples,
                seed=seed,
                progress=progress,
            )
        audit.failure_to_detect = detection_failures(data, scored, split, resamples=resamples, seed=seed)
        if split != "train":
            probe_manifest(audit, tables, manifest, files, resamples=resamples, seed=seed)
            probe_frozen_features(
                audit, tables, loaded, loaded_samples, manifest,
                device=resolve_device(device), resamples=resamples, seed=seed,
            )  # fmt: skip
        for name, (table, text) in recoded.items():
            for task in map(audit.models[name].tasks.__getitem__, compared[name]):
                task.same_format = evaluation.compare_formats(
                    task.task, tables[name], table, text, resamples=resamples, seed=seed
                )
        audit.notes += [*_attack_notes(loaded, perturbed), *_unknown_class_notes(loaded, scored)]
        audit.notes += _not_learned_notes(loaded)
        training_notes = {model.name: model.training_note(manifest, split) for model in loaded}
        if split != "test":
            audit.notes += training_notes.values()
        audit.method["measured_by"] = provenance()
        with written_folder(out) as folder:
            _write_tables(folder, "predictions", tables, len(loaded))
            _write_tables(folder, "validation", validations, len(loaded))
            joined = {name: evaluation.join_conditions(found) for name, found in robustness.items()}
            _write_tables(folder, "robustness", joined, len(loaded))
            _write_tables(folder, "same_format", {name: table for name, (table, _) in recoded.items()}, len(loaded))
            evaluation.write_report(
                audit,
                folder,
                title=title or f"{', '.join(tables)} on {data.name}, {split}",
                sections_before=sections,
                sections_after=[*_reconstruction_sections(figures, split, training_notes), *explanations],
                curves=_training_curves(loaded) or None,
            )
    except TableError as error:
        raise InputError(f"{data}, {split}: {error}") from None
    return audit


def _check_options(
    models: Sequence[EvaluatedModel], perturbed: Sequence[str], severities: Sequence[int], baseline: str | None
) -> None:
    invalid = [severity for severity in severities if severity not in SEVERITIES]
    if invalid or not severities:
        raise InputError(f"severity {invalid[0] if invalid else 'none'}: expected one or more of 1, 2, 3, 4, 5")
    names = [model.name for model in models]
    if baseline is not None and baseline not in names:
        raise InputError(f"baseline '{baseline}' is not among the models ({', '.join(names)})")
    if perturbed and set(perturbed) <= set(ATTACKS) and all(map(_cannot_be_attacked, models)):
        raise InputError(
            f"{', '.join(perturbed)}: attacks need gradients, which none of the models ({', '.join(names)}) provides; "
            "omit the attacks"
        )


def _cannot_be_attacked(model: EvaluatedModel) -> bool:
    return model.model is None or not can_be_attacked(model.model)


def _reconstruction_figure(model: EvaluatedModel, images: np.ndarray) -> evaluation.Figure | None:
    """Return a figure with a joint model's reconstructions of six faces; None for other models."""
    shown = images[_spread_rows(len(images), _SHOWN_FACES)]
    image = None if model.model is None else reconstruction_figure(model.model, shown, range(len(shown)))
    if image is None:
        return None
    name, auxiliary = model.name, model.config.recipe.auxiliary
    assert auxiliary is not None
    targets = ", ".join(target.name.replace("_", " ") for target in auxiliary.target)
    caption = (
        f"{name}: {auxiliary.mask_ratio:.0%} of the patches are hidden (gray). Target: {targets}. 'Reconstructed' is "
        "the raw decoder output for the whole image; no part of the target is copied into it."
    )
    return evaluation.Figure(image, caption, f"Six images, the visible patches given to {name}, and its reconstruction")


def _spread_rows(count: int, limit: int) -> np.ndarray:
    """Return evenly spaced row indices of a split, so that the faces shown come from several sources."""
    return np.unique(np.linspace(0, count - 1, min(limit, count)).round().astype(int))


def _spread_faces(images: np.ndarray, table: evaluation.Predictions, limit: int) -> LabeledFaces:
    rows = _spread_rows(len(images), limit)
    return LabeledFaces(np.array(images[rows]), replace(table, frame=table.frame.iloc[rows].reset_index(drop=True)))


def _attack_notes(models: Sequence[EvaluatedModel], perturbed: Sequence[str]) -> list[str]:
    if not set(perturbed) & set(ATTACKS):
        return []
    return [
        f"{model.name} was not attacked: "
        + ("an exported file has no gradients." if model.model is None else "it takes texture maps or video clips.")
        for model in models
        if _cannot_be_attacked(model)
    ]


def _unknown_class_notes(models: Sequence[EvaluatedModel], manifest: Manifest) -> list[str]:
    found = {model.name: unknown_classes(model.config, manifest) for model in models}
    return [
        f"{name} was not trained on {', '.join(f'{what} ({count:,} rows)' for what, count in classes.items())}: "
        "these rows are excluded from its metrics."
        for name, classes in found.items()
        if classes
    ]


def _not_learned_notes(models: Sequence[EvaluatedModel]) -> list[str]:
    return [
        f"{model.name}, task {task.name}: not learned: {', '.join(task.not_learned())} (the interval of the AUC on the "
        f"validation split begins below {LEARNED_FROM:g}); the model never predicts these classes, "
        "but their scores are evaluated here."
        for model in models
        for task in model.config.tasks
        if task.not_learned()
    ]


def _write_tables(folder: Path, what: str, tables: Mapping[str, evaluation.Predictions], models: int) -> None:
    for name, table in tables.items():
        file = f"{what}.parquet" if models == 1 else f"{what}.{name.replace('/', '-')}.parquet"
        evaluation.write_predictions(table, folder / file)


def _reconstruction_sections(
    figures: Mapping[str, evaluation.Figure], split: str, training_notes: Mapping[str, str]
) -> list[evaluation.Section]:
    if not figures:
        return []
    text = (
        "During training, the encoder is also given each image with most patches hidden, and a small decoder must "
        f"reconstruct the hidden patches. These are images of the split '{split}'. "
        f"{' '.join(training_notes[name] for name in figures)}"
    )
    return [evaluation.Section("What the auxiliary task reconstructs", text, tuple(figures.values()), None)]


def _training_curves(models: Sequence[EvaluatedModel]) -> dict[str, pd.DataFrame]:
    logs = {
        model.name: model.folder / "log.jsonl"
        for model in models
        if model.folder is not None and (model.folder / "log.jsonl").is_file()
    }
    return {name: read_log(path) for name, path in logs.items()}
