"""Verification: evaluate a model on pairs of images, with the LFW protocol if the pairs have folds.

Example::

    report = verify(Path("runs/id"), Path("lfw.parquet"), Path("pairs.txt"), Path("eval"))
    report["tasks"]["same_person"]["overall"]["auc"]
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from auxface import evaluation
from auxface.data.manifest import Manifest, read_manifest
from auxface.data.samples import LoadedSamples, load_samples
from auxface.device import check_device
from auxface.errors import InputError
from auxface.evaluation.csv_cells import escape_cells
from auxface.evaluation.report.identity_pages import verification_page
from auxface.evaluation.resampling import RESAMPLES
from auxface.evaluation.verification import PairFigures, ScoredPairs
from auxface.inference.embed import Embedder
from auxface.inference.pairs import read_pairs
from auxface.output_folder import check_output_folder, refuse_inputs_inside, written_folder
from auxface.progress import progress_bar
from auxface.provenance import provenance
from auxface.sample_kind import kind_of
from auxface.texture import describe

BASELINES = ("raw pixels", "HOG")
TASK = "same_person"
_PIXELS, _HOG_SIDE = 32, 64


def verify(
    model: Path,
    data: Path,
    pairs: Path | str,
    out: Path,
    *,
    split: str = "test",
    resamples: int = RESAMPLES,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Evaluate verification on pairs of images of the same or different people, and write a report and CSV files.

    Two baselines are evaluated on the same pairs: cosine similarity of raw pixels (gray, 32 x 32, centered) and of HOG
    features. The identities of retrieval and of the intervals are the values of the identity label that ``pairs``
    names, otherwise of the manifest's first identity label or, without one, the sources.

    Args:
        model: path of the model directory.
        data: path of the manifest of the images.
        pairs: path of LFW's ``pairs.txt``; path of a table (``.csv``, ``.parquet``) with columns path1, path2, same (0
            or 1) and optionally fold; or name of an identity label of the manifest, to use all pairs of the split.
        out: path of the folder to write.
        split: split that contains the images.
        resamples: number of bootstrap resamples for each interval.
        seed: seed of the bootstrap.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overwrite: whether to replace files in ``out`` that auxface wrote.

    Returns:
        The content of ``report.json``.

    Raises:
        InputError: a file is invalid, a pair names an image that is not in the split, the model was trained or selected
            on these images, all pairs are of one kind, or the output already exists.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> from auxface.data.manifest import read_manifest
        >>> model, data = Path("runs/a"), Path("faces.parquet")
        >>> first, second, *_ = read_manifest(data).only("test").table["path"]
        >>> lines = ["path1,path2,same", f"{first},{first},1", f"{first},{second},0"]
        >>> _ = Path("pairs.csv").write_text(chr(10).join(lines))
        >>> report = auxface.verify(model, data, Path("pairs.csv"), Path("verified"), resamples=100)
        >>> report["tasks"]["same_person"]["overall"]["auc"]["why"]
        '1 identity; at least 3 are needed'
    """
    check_output_folder(out, overwrite)
    check_device(device)
    manifest = read_manifest(data)
    inputs = [data, model, *manifest.paths()]
    refuse_inputs_inside(out, inputs if str(pairs) in manifest.labels else [*inputs, Path(pairs)])
    embedder = Embedder(model, device=device)
    _refuse_seen(embedder, manifest, model, split)
    rows = manifest.only(split)
    table = read_pairs(pairs, rows)
    used = np.unique(table[["first", "second"]].to_numpy())
    shown = replace(rows, table=rows.table.iloc[used].reset_index(drop=True))
    samples = load_samples(shown, split, embedder.config.recipe)
    table, lost = _readable(table, rows, samples)
    if table["same"].all() or not table["same"].any():
        raise InputError(
            f"{pairs}: the {len(table)} usable pairs are all genuine or all impostor pairs; expected both kinds"
        )
    people, kind = _people(samples.manifest, str(pairs)), kind_of(samples.manifest.crop)
    features = _features(embedder, samples)
    record = embedder.config.verification
    systems: dict[str, tuple[ScoredPairs, PairFigures, Mapping[str, evaluation.Estimate]]] = {}
    name = model.name or "model"
    with progress_bar("intervals", len(features), "systems") as advance:
        for key, vectors in features.items():
            scored = _scored(table, vectors, people, samples.manifest)
            threshold = record.threshold if record is not None and key == "model" else None
            figures = evaluation.measure_pairs(scored, threshold=threshold, resamples=resamples, seed=seed)
            retrieval = evaluation.measure_retrieval(vectors, people, resamples=resamples, seed=seed)
            systems[name if key == "model" else key] = scored, figures, retrieval
            advance(1)
    differences = {key: evaluation.auc_difference(systems[name][1], systems[key][1]) for key in BASELINES}
    counted = f"{len(samples.images):,} {kind.images} of {len(set(people)):,} {kind.identities}"
    notes = [f"{counted}, split {split} of {data.name}."]
    if lost:
        notes.append(f"{lost} pairs are excluded because at least one of their {kind.images} cannot be read.")
    report = _report(name, systems, differences, embedder, lost)
    report["provenance"] = provenance(
        model=name, weights=embedder.header["weights"], manifest=data.name, manifest_hash=manifest.hash,
        pairs=str(pairs) if str(pairs) in manifest.labels else Path(pairs).name, resamples=resamples, seed=seed,
    )  # fmt: skip
    csvs = _tables(table, samples.manifest, systems, name)
    with written_folder(out) as folder:
        (folder / "csv").mkdir()
        for file, frame in csvs.items():
            escape_cells(frame).to_csv(folder / "csv" / f"{file}.csv", index=False)
        (folder / "report.json").write_text(json.dumps(report, allow_nan=False) + "\n", encoding="utf-8")
        page = verification_page(
            f"{name} on pairs of {data.name}",
            systems,
            kind=kind,
            differences=differences,
            threshold=None if record is None else record.model_dump(),
            notes=notes,
            files=sorted(csvs),
        )
        (folder / "report.html").write_text(page, encoding="utf-8", errors="backslashreplace")
    return report


def _refuse_seen(embedder: Embedder, manifest: Manifest, model: Path, split: str) -> None:
    selection, known = embedder.config.selection, embedder.config.provenance.get("manifest_hash")
    if known == manifest.hash and split != "test":
        used = "trained" if split == "train" else "selected, and its threshold chosen,"
        raise InputError(f"{model}: the model was {used} on split '{split}', so results on it would be biased")
    if selection is not None and selection.split == split != "val":
        raise InputError(f"{model}: the model was selected on split '{split}'; choose another split")


def _readable(table: pd.DataFrame, rows: Manifest, samples: LoadedSamples) -> tuple[pd.DataFrame, int]:
    """Return the pairs as row numbers of the readable images, and the number of pairs with an unreadable image."""
    place = {str(path): number for number, path in enumerate(samples.manifest.paths())}
    paths = [str(path) for path in rows.paths()]
    first = [place.get(paths[row], -1) for row in table["first"]]
    second = [place.get(paths[row], -1) for row in table["second"]]
    made = table.assign(first=first, second=second)
    kept = made[(made["first"] >= 0) & (made["second"] >= 0)].reset_index(drop=True)
    return kept, len(table) - len(kept)


def _people(manifest: Manifest, pairs: str) -> list[str]:
    """Return the identity of each row: the label that ``pairs`` names, the first identity label, or the source."""
    known = [name for name, each in manifest.labels.items() if each.kind == "identity"]
    label = pairs if pairs in known else next(iter(known), "source")
    return manifest.table[label].fillna(manifest.table["source"]).astype(str).to_list()


def _features(embedder: Embedder, samples: LoadedSamples) -> dict[str, np.ndarray]:
    """Return the unit-norm vectors of the model and of each baseline, by name."""
    images = samples.images
    with progress_bar("embed", len(images), samples.unit) as advance:
        found = {"model": embedder.embed_images(images, advance)}
    gray = torch.from_numpy(np.array(images)).float().mean(1, keepdim=True)

    def reduced(side: int) -> torch.Tensor:
        return torch.nn.functional.interpolate(gray, (side, side), mode="bilinear", antialias=True)

    found["raw pixels"] = reduced(_PIXELS).flatten(1).numpy()
    hog = describe(reduced(_HOG_SIDE).round().clamp(0, 255).to(torch.uint8), "histogram_of_oriented_gradients", block=2)
    found["HOG"] = np.asarray(hog).reshape(len(images), -1)
    return {name: _unit(vectors, center=name != "model") for name, vectors in found.items()}


def _unit(vectors: np.ndarray, *, center: bool) -> np.ndarray:
    """Normalize vectors to unit norm; raw features are centered first, because a shared mean dominates the cosine."""
    vectors = vectors - vectors.mean(axis=0) if center else vectors
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _scored(table: pd.DataFrame, vectors: np.ndarray, people: list[str], manifest: Manifest) -> ScoredPairs:
    first, second = table["first"].to_numpy(), table["second"].to_numpy()
    groups = {}
    for name in manifest.groups:
        levels = manifest.table[name].to_numpy(dtype=object)
        groups[name] = np.where(levels[first] == levels[second], levels[first], None)
    names = np.asarray(people, dtype=object)
    fold = table["fold"].to_numpy()
    similarity = np.einsum("nd,nd->n", vectors[first].astype(np.float64), vectors[second].astype(np.float64))
    return ScoredPairs(
        similarity, table["same"].to_numpy(), names[first], names[second], None if (fold < 0).all() else fold, groups
    )


def _report(
    name: str,
    systems: Mapping[str, tuple[ScoredPairs, PairFigures, Mapping[str, evaluation.Estimate]]],
    differences: Mapping[str, evaluation.Estimate],
    embedder: Embedder,
    lost: int,
) -> dict[str, Any]:
    def overall(key: str) -> dict[str, Any]:
        _, figures, retrieval = systems[key]
        return {metric: each.to_dict() for metric, each in {**figures.estimates, **retrieval}.items()}

    figures = systems[name][1]
    groups = {
        group: {level: {metric: each.to_dict() for metric, each in rates.items()} for level, rates in levels.items()}
        for group, levels in figures.groups.items()
    }
    record = embedder.config.verification
    return {
        "tasks": {TASK: {"overall": overall(name), "groups": groups, "folds": figures.folds}},
        "baselines": {key: {"overall": overall(key)} for key in BASELINES},
        "auc_differences": {key: each.to_dict() for key, each in differences.items()},
        "threshold": None if record is None else record.model_dump(),
        "left_out": {"unreadable": lost},
    }


def _tables(
    table: pd.DataFrame,
    manifest: Manifest,
    systems: Mapping[str, tuple[ScoredPairs, PairFigures, Mapping[str, evaluation.Estimate]]],
    name: str,
) -> dict[str, pd.DataFrame]:
    paths = manifest.table["path"].to_numpy()
    scored = pd.DataFrame({"path1": paths[table["first"]], "path2": paths[table["second"]], "same": table["same"]})
    scored = scored.assign(fold=table["fold"], similarity=systems[name][0].similarity)
    rows = [
        {"system": key, "metric": metric} | each.to_dict()
        for key, (_, figures, retrieval) in systems.items()
        for metric, each in {**figures.estimates, **retrieval}.items()
    ]
    found = {"pairs": scored, "verification": pd.DataFrame(rows)}
    groups = [
        {"group": group, "level": level, "metric": metric} | each.to_dict()
        for group, levels in systems[name][1].groups.items()
        for level, rates in levels.items()
        for metric, each in rates.items()
    ]
    return found | ({"verification_groups": pd.DataFrame(groups)} if groups else {})
