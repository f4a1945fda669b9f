"""Clusters of the training images, from labels or features, and the mutual information of clusters and tasks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.metrics import mutual_info_score

from auxface.data.manifest import Manifest
from auxface.errors import InputError
from auxface.objectives.objective import LearnedTask
from auxface.plugins import nearest


def auxiliary_labels(manifest: Manifest, tasks: Sequence[LearnedTask], names: Sequence[str] = ()) -> pd.DataFrame:
    """Return the columns that define clusters, excluding the labels of the tasks.

    Args:
        manifest: manifest of the training rows.
        tasks: tasks of the model; their labels are excluded.
        names: names of labels, attributes or group columns. If empty, every other label with classes is used, but no
            group column.

    Raises:
        InputError: a name is unknown or is the label of a task, or no label remains.
    """
    learned = {column for task in tasks for column in _columns(manifest, task.name)} | {task.name for task in tasks}
    offered = {
        column
        for name, label in manifest.labels.items()
        if label.kind in ("class", "binary", "multilabel")
        for column in label.columns(name)
    }
    for name in names:
        if name in learned:
            raise InputError(
                f"auxiliaries.cluster_contrast.labels: '{name}' is a task of the recipe; choose another label"
            )
        if name not in offered | set(manifest.groups):
            hint = nearest(name, [*offered, *manifest.groups])
            raise InputError(f"auxiliaries.cluster_contrast.labels: the manifest has no label '{name}'{hint}")
    chosen = [name for name in manifest.table.columns if name in (set(names) or offered - learned)]
    if not chosen:
        raise InputError(
            "auxiliaries.cluster_contrast: the manifest has no labels other than the tasks of the recipe; set "
            "auxiliaries.cluster_contrast.clusters=kmeans"
        )
    return manifest.table[chosen]


def top_k_entropy(labels: pd.DataFrame, k: int) -> tuple[np.ndarray, list[str]]:
    """Cluster images by the values of the k labels with the highest entropy (Tsai et al., 2022).

    Args:
        labels: one column per label; unknown values are missing.
        k: number of labels to use; if there are fewer than ``k`` labels, all labels are used.

    Returns:
        The clusters, int64 [N], one for each combination of values, and the names of the labels that were used. A row
        with an unknown value forms its own cluster.
    """
    entropies = {name: entropy(pd.factorize(column)[0][column.notna()]) for name, column in labels.items()}
    names = sorted(entropies, key=lambda name: -entropies[name])[:k]
    chosen = labels[names]
    numbers = chosen.groupby(names, sort=True, dropna=False).ngroup().to_numpy(dtype=np.int64)
    unknown = chosen.isna().any(axis=1).to_numpy()
    own = len(labels) + np.arange(len(labels))
    return np.where(unknown, own, numbers), [str(name) for name in names]


def kmeans_clusters(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Cluster features [N, D] by k-means after L2 normalization (20 iterations, best of 5 starts); return int64 [N].

    The number of clusters is limited to half the number of images.
    """
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    count = max(1, min(count, len(features) // 2))
    method = KMeans(count, n_init=5, max_iter=20, random_state=seed)  # pyright: ignore[reportArgumentType]
    return method.fit_predict(features / np.maximum(lengths, 1e-12)).astype(np.int64)


def entropy(values: np.ndarray) -> float:
    """Return the entropy of discrete values in nats; 0 for an empty array."""
    frequencies = np.unique(values, return_counts=True)[1] / max(len(values), 1)
    return float(-(frequencies * np.log(frequencies)).sum())


def information(clusters: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return I(Z;T) and H(Z|T) in nats for clusters Z and a label T, both [N].

    Good clusters have a large mutual information and a small conditional entropy (Tsai et al., 2022).
    """
    shared = float(mutual_info_score(clusters, truth))
    return shared, max(entropy(clusters) - shared, 0.0)


def information_report(clusters: np.ndarray, manifest: Manifest, tasks: Sequence[LearnedTask]) -> dict[str, float]:
    """Return H(Z), and I(Z;T) and H(Z|T) for every task with classes, or for each attribute of a multilabel task."""
    report = {"entropy": entropy(clusters)}
    for task in tasks:
        if task.kind == "ordinal":
            continue
        for column in _columns(manifest, task.name):
            if column not in manifest.table.columns:
                continue
            values = manifest.table[column]
            known = values.notna().to_numpy()
            shared, left = information(clusters[known], pd.factorize(values[known])[0])
            name = task.name if column == task.name else f"{task.name}.{column}"
            report |= {f"mutual_information.{name}": shared, f"conditional_entropy.{name}": left}
    return report


def _columns(manifest: Manifest, label: str) -> tuple[str, ...]:
    return manifest.labels[label].columns(label) if label in manifest.labels else (label,)
