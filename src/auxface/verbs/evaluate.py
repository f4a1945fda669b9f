"""``auxface evaluate``: models and a manifest's split to predictions and a report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from auxface import evaluation
from auxface.atomic import atomic_folder, refuse_existing
from auxface.data.corruptions import corrupt
from auxface.data.manifest import Manifest, read_manifest
from auxface.data.random import sample_seeds
from auxface.data.usable import Usable, usable_pictures
from auxface.errors import InputError
from auxface.inference.predictions import predictions_for
from auxface.inference.rebuilt import rebuilt_figure
from auxface.model.config import ModelConfig
from auxface.model.directory import SavedModel, load_model
from auxface.model.scoring import score_pictures
from auxface.progress import progress_bar, progress_steps
from auxface.provenance import provenance
from auxface.training.journal import read_journal
from auxface.verbs.train import check_device

DEFAULT_CORRUPTIONS = ("defocus_blur", "gaussian_noise", "jpeg_compression")
SEVERITIES = (1, 2, 3, 4, 5)
_SHOWN_FACES = 6


def evaluate(
    models: Mapping[str, Path] | Path,
    data: Path,
    out: Path,
    *,
    split: str = "test",
    corruptions: Sequence[str] = DEFAULT_CORRUPTIONS,
    resamples: int = 1000,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    title: str | None = None,
    sections: Sequence[evaluation.Section] = (),
) -> evaluation.Audit:
    """Score a split with one or several models and write predictions, report page, report.json and CSVs.

    Args:
        models: a model directory, or several by name for a side-by-side report.
        data: the manifest.
        out: the folder to make.
        split: which rows.
        corruptions: names of :mod:`auxface.data.corruptions`; each at severities 1 to 5. Empty: none.
        resamples: bootstrap resamples behind each interval.
        seed: of the bootstrap and the corruptions.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overwrite: replace ``out`` if it exists.
        title: of the page.
        sections: shown on the page before the others.

    Raises:
        InputError: a model that was chosen on this split, a manifest without the model's labels, an output that exists.
    """
    refuse_existing(out, overwrite)
    check_device(device)
    named = {models.name or "model": models} if isinstance(models, Path) else dict(models)
    loaded = {name: load_model(folder) for name, folder in named.items()}
    manifest = read_manifest(data).only(split)
    for name, saved in loaded.items():
        _check(name, saved.config, manifest, split)
    place = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu"))

    tables: dict[str, evaluation.Predictions] = {}
    robustness: dict[str, dict[str, dict[int | str, evaluation.Predictions]]] = {}
    figures: list[evaluation.Figure] = []
    for name, saved in loaded.items():
        saved.model.to(place)
        part = usable_pictures(manifest, split, saved.config.recipe.encoder.image_size)
        tables[name], robustness[name] = _score(name, saved, part, data, corruptions, seed)
        shown = part.pictures[_spread(len(part.pictures), _SHOWN_FACES)]
        picture = rebuilt_figure(saved.model, shown, range(len(shown)))
        if picture is not None:
            figures.append(_rebuilt(name, saved.config, picture))
    with progress_steps("intervals", "measured") as progress:
        audit = evaluation.audit_tables(
            tables,
            robustness=robustness if corruptions else None,
            resamples=resamples,
            seed=seed,
            progress=progress,
        )
    curves = {
        name: read_journal(folder / "log.jsonl") for name, folder in named.items() if (folder / "log.jsonl").is_file()
    }
    after = [_rebuilt_section(tuple(figures))] if figures else []
    with atomic_folder(out) as beside:
        for name, table in tables.items():
            file = "predictions.parquet" if len(tables) == 1 else f"predictions.{name}.parquet"
            evaluation.write_predictions(table, beside / file)
        evaluation.write_report(
            audit,
            beside,
            title=title or f"{', '.join(tables)} on {data.name}, {split}",
            sections_before=sections,
            sections_after=after,
            curves=curves or None,
        )
    return audit


def _check(name: str, config: ModelConfig, manifest: Manifest, split: str) -> None:
    if config.selection is not None and config.selection.split == split != "val":
        raise InputError(
            f"{name}: this model was chosen on split '{split}', where its figures would flatter; name another"
        )
    for task in config.tasks:
        label = manifest.labels.get(task.name)
        if label is None:
            have = ", ".join(manifest.labels) or "none"
            raise InputError(
                f"{name}: the model learned '{task.name}', which is no label of the manifest (it has: {have})"
            )
        classes = () if task.kind == "ordinal" else task.classes
        if (label.kind, label.classes) != (task.kind, classes):
            raise InputError(
                f"{name}: the model knows '{task.name}' as {task.kind} with {', '.join(task.classes)}; the "
                f"manifest has {label.kind} with {', '.join(label.classes)}"
            )


def _score(
    name: str, saved: SavedModel, part: Usable, data: Path, corruptions: Sequence[str], seed: int
) -> tuple[evaluation.Predictions, dict[str, dict[int | str, evaluation.Predictions]]]:
    model, config = saved.model, saved.config
    made = provenance(model=name, recipe_hash=config.provenance.get("recipe_hash"), manifest=data.name)
    made["manifest_hash"] = part.manifest.hash
    left_out = {"unreadable": len(part.rejected)}
    seeds = sample_seeds(seed, 0, torch.arange(len(part.pictures)))
    rounds = 1 + len(corruptions) * len(SEVERITIES)
    robustness: dict[str, dict[int | str, evaluation.Predictions]] = {}
    with progress_bar(f"score {name}", rounds * len(part.pictures), "pictures") as advance:
        logits = score_pictures(model, part.pictures, advance=advance)
        clean = predictions_for(config, part.manifest, logits, left_out=left_out, provenance=made)
        for corruption in corruptions:
            robustness[corruption] = {}
            for severity in SEVERITIES:

                def damage(
                    batch: torch.Tensor, start: int, kind: str = corruption, level: int = severity
                ) -> torch.Tensor:
                    return corrupt(batch, kind, level, seeds[start : start + len(batch)].to(batch.device))

                logits = score_pictures(model, part.pictures, transform=damage, advance=advance)
                robustness[corruption][severity] = predictions_for(config, part.manifest, logits)
    return clean, robustness


def _spread(count: int, wanted: int) -> np.ndarray:
    """Positions spread evenly over a split, so that the shown faces are not all of one source."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).round().astype(int))


def _rebuilt(name: str, config: ModelConfig, picture: bytes) -> evaluation.Figure:
    auxiliary = config.recipe.auxiliary
    assert auxiliary is not None
    targets = ", ".join(target.name.replace("_", " ") for target in auxiliary.target)
    caption = (
        f"{name}: {auxiliary.mask_ratio:.0%} of the patches hidden (grey). Target: {targets}; 'rebuilt' is the raw "
        "decoder output for the whole face, nothing of the target pasted in."
    )
    return evaluation.Figure(picture, caption, f"Six faces, what {name} saw of them, and what it rebuilt")


def _rebuilt_section(figures: tuple[evaluation.Figure, ...]) -> evaluation.Section:
    text = (
        "During training the encoder also sees each face with most patches hidden, and a small decoder must rebuild "
        "what was there. These are faces of the split that was measured; no model was trained on them."
    )
    return evaluation.Section("What the auxiliary task rebuilds", text, figures, None)
