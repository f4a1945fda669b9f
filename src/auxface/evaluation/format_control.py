"""Controls for the data: probes on file properties or given features, and a comparison with images in one format.

If a label depends on how files were made, for example if real images are JPEG and generated images are PNG, the label
can be predicted without the face. :func:`probe_files` fits a logistic regression on file properties alone.
:func:`compare_probe` compares the model with any other simple classifier, such as one fitted to features of a frozen
encoder.
:func:`compare_formats` compares the scores of the original images with those of the same images in a common format.

>>> generator = np.random.default_rng(0)
>>> fake = pd.Series(generator.integers(0, 2, 200))
>>> files = pd.DataFrame({"bytes": generator.normal(9000, 900, 200), "format": np.where(fake == 1, "PNG", "JPEG")})
>>> table = Predictions(pd.DataFrame({"true.t": fake, "score.t.fake": generator.random(200)}), ())
>>> probe = probe_files(ScoredTask("t", "binary", ("real", "fake")), table, files, fake, files, resamples=100)
>>> probe.value.value, probe.predicts, probe.inputs
(1.0, True, ('bytes', 'format'))
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from auxface.evaluation.clusters import cluster_codes
from auxface.evaluation.compare import p_value
from auxface.evaluation.groups import whole
from auxface.evaluation.intervals import SIGNIFICANT, Draws, Estimate, rounded
from auxface.evaluation.measure import measure
from auxface.evaluation.metrics import METRICS
from auxface.evaluation.predictions import Predictions, ScoredTask, text_of
from auxface.evaluation.resampling import RESAMPLES, draw_resamples

# A category with fewer training rows than this gets no coefficient of its own.
_FEWEST_ROWS = 10


@dataclass(frozen=True)
class Probe:
    """A simple classifier, fitted to the training split and compared with the model on the same samples.

    Attributes:
        metric: name of the metric: ``auc``, or ``balanced_accuracy`` for more than two classes.
        value: metric of the probe.
        model: metric of the model on the same samples.
        lead: metric of the model minus that of the probe.
        p: two-sided p-value for a lead of 0; None if the lead has no interval.
        chance: metric of a constant prediction.
        inputs: names of the inputs of the probe, such as file properties.
    """

    metric: str
    value: Estimate
    model: Estimate
    lead: Estimate
    p: float | None
    chance: float
    inputs: tuple[str, ...]

    @property
    def predicts(self) -> bool:
        """Whether the probe is better than chance, that is, its whole interval lies above ``chance``."""
        return self.value.low is not None and self.value.low > self.chance

    @property
    def explains_half(self) -> bool:
        """Whether the probe's advantage over chance is at least half of the model's advantage."""
        if not self.predicts or self.value.value is None or self.model.value is None:
            return False
        return self.value.value - self.chance >= 0.5 * (self.model.value - self.chance)

    @property
    def is_exceeded(self) -> bool:
        """Whether the model is significantly better than the probe."""
        return self.lead.low is not None and self.lead.low > 0 and self.p is not None and self.p < SIGNIFICANT

    def to_dict(self) -> dict[str, object]:
        """Return the probe in the form of ``report.json``."""
        facts: dict[str, object] = {"metric": self.metric, "chance": rounded(self.chance), "inputs": list(self.inputs)}
        numbers = {"probe": self.value.to_dict(), "model": self.model.to_dict(), "lead": self.lead.to_dict()}
        return facts | numbers | {"p": None if self.p is None else rounded(self.p)}


def probe_files(
    task: ScoredTask,
    table: Predictions,
    train: pd.DataFrame,
    labels: pd.Series,
    test: pd.DataFrame,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Probe | None:
    """Return how well file properties alone predict a binary or class task.

    Args:
        task: task to measure.
        table: predictions of the model.
        train: properties of the training files, one row per file; each number is used both as it is and as its
            logarithm.
        labels: true label of each training file, encoded as in ``table``.
        test: file properties of each row of ``table``.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.

    Returns:
        The probe; None for other kinds of tasks, or if the training labels or all properties are constant.
    """
    names = task.classes
    if task.kind not in ("binary", "class") or f"true.{task.name}" not in table.frame.columns:
        return None
    code = labels.map(lambda value: value if task.kind == "binary" else _place(names, value)).astype(float)
    known = code.notna().to_numpy()
    inputs, used = _inputs(train[known], test)
    if not used or code[known].nunique() < 2:
        return None
    scores = _fitted_scores(inputs, code[known].to_numpy(int), len(names))
    return compare_probe(task, table, scores, tuple(used), resamples=resamples, seed=seed)


def compare_probe(
    task: ScoredTask,
    table: Predictions,
    scores: np.ndarray,
    inputs: tuple[str, ...],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Probe | None:
    """Return the metric of a probe and the lead of the model over it.

    Args:
        task: binary or class task to measure.
        table: predictions of the model.
        scores: class probabilities of the probe for each row of ``table``, [rows, classes].
        inputs: names of the inputs of the probe.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.

    Returns:
        The probe; None if the metric cannot be measured for it or for the model.
    """
    columns = {name: scores[:, place] for name, place in zip(task.score_columns(), _columns(task))}
    kept = [name for name in table.frame.columns if not str(name).startswith(("score.", "predicted."))]
    probe = Predictions(table.frame[kept].assign(**columns), (replace(task, level_thresholds=None, abstain=None),))
    metric = "auc" if len(task.classes) == 2 else "balanced_accuracy"
    value, model = (_draws(one, task, metric, resamples, seed) for one in (probe, table))
    if value is None or model is None:
        return None
    lead, p = _difference(model, value)
    chance = 0.5 if metric == "auc" else 1 / len(task.classes)
    return Probe(metric, value.estimate(), model.estimate(), lead, p, chance, inputs)


def _place(names: tuple[str, ...], value: object) -> float:
    text = "" if value is None else text_of(value)
    return float(names.index(text)) if text in names else float("nan")


def _columns(task: ScoredTask) -> list[int]:
    return [1] if task.kind == "binary" else list(range(len(task.classes)))


def _inputs(train: pd.DataFrame, test: pd.DataFrame) -> tuple[tuple[np.ndarray, np.ndarray], list[str]]:
    """Return the regression inputs of both tables, and the names of the properties that are not constant."""
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    used = []
    for name in train.columns:
        first, second = train[name], test[name]
        columns = []
        if pd.api.types.is_numeric_dtype(first):
            middle = float(first.median()) if first.notna().any() else 0.0
            for change in (lambda one: one, np.log1p):
                columns.append([change(one.fillna(middle).to_numpy(float)) for one in (first, second)])
            columns.append([one.isna().to_numpy(float) for one in (first, second)])
        else:
            counts = first.value_counts()
            for value in counts.index[counts >= _FEWEST_ROWS]:
                columns.append([(one == value).to_numpy(float) for one in (first, second)])
        varying = [(one, other) for one, other in columns if np.ptp(one) > 0]
        if varying:
            used.append(str(name))
            parts += varying
    if not parts:
        return (np.empty((len(train), 0)), np.empty((len(test), 0))), []
    return (np.stack([one for one, _ in parts], axis=1), np.stack([other for _, other in parts], axis=1)), used


def _fitted_scores(inputs: tuple[np.ndarray, np.ndarray], target: np.ndarray, classes: int) -> np.ndarray:
    """Fit the regression to the first inputs; return class probabilities [rows, classes] for the second inputs."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    found = model.fit(inputs[0], target).predict_proba(inputs[1])
    scores = np.zeros((len(found), classes))
    scores[:, model.classes_] = found
    return scores


def _draws(table: Predictions, task: ScoredTask, metric: str, resamples: int, seed: int) -> Draws | None:
    cluster = cluster_codes([table.frame])[0][0]
    draw = draw_resamples(int(cluster.max()) + 1, resamples, seed)
    return measure(table, task, whole(table), cluster, draw, [METRICS[metric]]).levels[""].get(metric)


@dataclass(frozen=True)
class FormatComparison:
    """The AUC on the original images, and on the same images encoded in a common format.

    Attributes:
        format: description of the common format.
        before: AUC on the original images.
        after: AUC on the images in the common format.
        difference: ``after`` minus ``before``, on the same samples.
        p: two-sided p-value for a difference of 0.
    """

    format: str
    before: Estimate
    after: Estimate
    difference: Estimate
    p: float | None

    @property
    def lost(self) -> float | None:
        """The fraction of the AUC's excess over 0.5 that is lost; None if the AUC does not exceed 0.5."""
        if self.before.value is None or self.after.value is None or self.before.value <= 0.5:
            return None
        return (self.before.value - self.after.value) / (self.before.value - 0.5)

    def to_dict(self) -> dict[str, object]:
        """Return the comparison in the form of ``report.json``."""
        numbers: dict[str, object] = {name: getattr(self, name).to_dict() for name in ("before", "after", "difference")}
        lost = None if self.lost is None else rounded(self.lost)
        facts: dict[str, object] = {"format": self.format, "metric": "auc"}
        return facts | numbers | {"p": self.p, "lost": lost}


def compare_formats(
    task: ScoredTask, before: Predictions, after: Predictions, text: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> FormatComparison | None:
    """Return the change in the AUC of a task with two classes if all images are encoded in a common format.

    Args:
        task: task to measure.
        before: predictions on the original images.
        after: predictions on the images in the common format, with the same rows as ``before``.
        text: description of the common format.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.

    Returns:
        The comparison; None if the task does not have exactly two classes or the AUC cannot be measured.
    """
    if len(task.classes) != 2 or task.kind not in ("binary", "class"):
        return None
    one, other = (_draws(table, task, "auc", resamples, seed) for table in (before, after))
    if one is None or other is None:
        return None
    difference, p = _difference(other, one)
    return FormatComparison(text, one.estimate(), other.estimate(), difference, p)


def _difference(first: Draws, second: Draws) -> tuple[Estimate, float | None]:
    """Return ``first`` minus ``second``, measured on the same resamples, and its p-value."""
    draws = Draws(first.values - second.values, first.n, first.clusters, first.units, why=first.why or second.why)
    found = draws.estimate()
    return found, p_value(draws) if found.low is not None else None
