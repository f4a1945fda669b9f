"""Compute the evidence for every class and attribute on the validation split: AUC with its interval, and precision.

A class whose AUC is not clearly above chance is *not learned*, and the model does not predict it. Intervals are
computed as in an audit, by a bootstrap over clusters (videos if present, otherwise sources, otherwise rows). Weights
and thresholds were chosen on the same rows, so these values are optimistic.

Example::

    evidence = measure_evidence(record, logits, labels, rows.table)
    evidence["happy"].auc, evidence["happy"].learned
"""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from auxface.evaluation import Predictions, ScoredTask
from auxface.evaluation.clusters import cluster_codes
from auxface.evaluation.groups import whole
from auxface.evaluation.intervals import Estimate
from auxface.evaluation.measure import measure
from auxface.evaluation.metrics import METRICS
from auxface.evaluation.resampling import draw_resamples
from auxface.model.config import Evidence, TaskRecord
from auxface.objectives import expected_value, probabilities

# The interval of an AUC uses only the variance over resamples, for which this number of resamples is sufficient.
_RESAMPLES = 200
# Each class takes milliseconds; in a task with more classes, the classes are probably identities.
_MOST_CLASSES = 1000
_METRICS = (METRICS["auc"], METRICS["precision"])


def measure_evidence(
    record: TaskRecord, logits: np.ndarray, labels: Tensor, table: pd.DataFrame
) -> dict[str, Evidence]:
    """Return the evidence by class, by attribute or, for an ordinal task, by the name of the task.

    The result is empty for a class task with more than 1,000 classes.

    Args:
        record: record of the task, with its temperature and thresholds.
        logits: logits of the validation split, [N, outputs].
        labels: labels of the validation split, as :func:`auxface.training.tasks.label_tensors` returns them.
        table: the N rows of the manifest.
    """
    task, target = record.learned_task(), labels.numpy()
    if len(record.classes) > _MOST_CLASSES and record.kind == "class":
        return {}
    if record.kind == "ordinal":
        expected = expected_value(task, torch.as_tensor(logits), record.temperature).numpy()
        low, high = record.values[0], record.values[-1]
        truth = np.where(np.isnan(target), np.nan, target > np.nanmedian(target)) if len(target) else target
        score = np.clip((expected - low) / (high - low), 0, 1)
        return {record.name: _evidence(truth, score, table, None)}
    scores = probabilities(task, torch.as_tensor(logits), record.temperature).numpy()
    if record.kind == "class":
        known, chosen = target >= 0, scores.argmax(axis=1)
        columns = {
            name: (np.where(known, target == place, np.nan), scores[:, place], chosen == place)
            for place, name in enumerate(record.classes)
        }
    elif record.kind == "binary":
        negative, positive = record.classes
        yes = scores[:, 0] >= record.thresholds.get(positive, 0.5)
        columns = {negative: (1 - target, 1 - scores[:, 0], ~yes), positive: (target, scores[:, 0], yes)}
    else:
        columns = {
            name: (target[:, place], scores[:, place], scores[:, place] >= record.thresholds.get(name, 0.5))
            for place, name in enumerate(record.classes)
        }
    return {name: _evidence(truth, score, table, decided) for name, (truth, score, decided) in columns.items()}


def _evidence(truth: np.ndarray, score: np.ndarray, table: pd.DataFrame, decided: np.ndarray | None) -> Evidence:
    known = ~np.isnan(truth)
    if not known.any():
        return Evidence(auc=None, low=None, high=None, n=0, clusters=0)
    frame = pd.DataFrame({"true.it": truth[known], "score.it.yes": score[known]})
    if decided is not None:
        frame["predicted.it"] = decided[known].astype(int)
    (cluster,), _ = cluster_codes([table[known]])
    predictions = Predictions(frame, (ScoredTask("it", "binary", ("no", "yes")),))
    resampling = draw_resamples(int(cluster.max()) + 1, _RESAMPLES, seed=0)
    found = measure(predictions, predictions.tasks[0], whole(predictions), cluster, resampling, _METRICS).levels[""]
    auc: Estimate = found["auc"].estimate()
    precision = found["precision"].estimate().value if decided is not None and "precision" in found else None
    return Evidence(
        auc=_rounded(auc.value),
        low=_rounded(auc.low),
        high=_rounded(auc.high),
        precision=_rounded(precision),
        n=int(known.sum()),
        clusters=auc.clusters,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
