"""Coverage of 95% intervals: how often they hold the true value of a simulated population.

Run with ``pytest -m slow tests/evaluation/test_coverage.py -s``; it prints the figures of docs/evaluation.md.
"""

import numpy as np
import pandas as pd
import pytest

from auxface.evaluation import Predictions, ScoredTask
from auxface.evaluation.fairness import gaps
from auxface.evaluation.groups import by_group, whole
from auxface.evaluation.intervals import Draws
from auxface.evaluation.measure import measure
from auxface.evaluation.metrics import METRICS
from auxface.evaluation.metrics.classification import DECISIONS
from auxface.evaluation.resampling import draw_resamples

TABLES = 2000
RESAMPLES = 400
POPULATION = 2_000_000
TASK = ScoredTask("t", "binary", ("no", "yes"), {"yes": 0.5}, "given")
CHECKED = (
    "accuracy", "balanced_accuracy", "macro_f1", "true_positive_rate", "false_positive_rate", "precision",
    "selection_rate", "auc", "average_precision", "equal_error_rate", "brier_score", "accuracy of group a",
    "accuracy of group b", "difference of two models in AUC",
)  # fmt: skip
# Intervals of maxima, distances and step functions of few samples are conservative.
AT_LEAST = (
    "expected_calibration_error", "demographic_parity_difference", "equalized_odds_difference", "worst_group_accuracy",
)  # fmt: skip


def simulate(
    seed: int, clusters: int, frames: int, spread: float, positives: float = 0.5
) -> tuple[Predictions, Predictions]:
    """Return two models on ``clusters`` videos of ``frames`` frames; ``spread`` is the standard deviation by video."""
    generator = np.random.default_rng(seed)
    video = np.repeat(np.arange(clusters), frames)
    true = (generator.random(clusters) < positives).astype(int)[video]
    group = generator.integers(0, 2, clusters)[video]
    shared = generator.normal(0, spread, clusters)[video] + generator.normal(0, 0.8, len(video))
    models = []
    for skill in (1.0, 1.3):
        own = generator.normal(0, 0.5, clusters)[video] * bool(spread) + generator.normal(0, 0.5, len(video))
        logit = skill * (2 * true - 1) + 0.3 * group + shared + own
        frame = pd.DataFrame(
            {"group.g": np.where(group == 1, "a", "b"), "true.t": true, "score.t.yes": 1 / (1 + np.exp(-logit))}
        )
        models.append(Predictions(frame, (TASK,)))
    return models[0], models[1]


def figures(
    models: tuple[Predictions, Predictions], cluster: np.ndarray, resamples: int, seed: int
) -> dict[str, Draws]:
    draw = draw_resamples(int(cluster.max()) + 1, resamples, seed)
    one, other = (measure(table, TASK, whole(table), cluster, draw).levels[""] for table in models)
    levels = measure(models[0], TASK, by_group(models[0], "g"), cluster, draw).levels
    found = {name: draws for name, draws in one.items() if draws.why is None}
    found |= {f"accuracy of group {name}": metrics["accuracy"] for name, metrics in levels.items()}
    difference = one["auc"].values - other["auc"].values
    found["difference of two models in AUC"] = Draws(difference, one["auc"].n, one["auc"].clusters)
    gap = gaps(levels, one)
    named = ("demographic_parity_difference", "equalized_odds_difference", "worst_group_accuracy")
    return found | {name: gap[name] for name in named}


def coverage(
    clusters: int, frames: int, spread: float, *, positives: float = 0.5, by_row: bool = False, tables: int = TABLES
) -> dict[str, float]:
    """Return the share of tables whose interval holds the value of the population, by metric."""
    large = simulate(10**6, POPULATION, 1, spread, positives)
    truth = {name: draws.values[0] for name, draws in figures(large, np.arange(POPULATION), 1, 0).items()}
    held: dict[str, list[bool]] = {}
    for seed in range(tables):
        models = simulate(seed, clusters, frames, spread, positives)
        rows = np.arange(clusters * frames)
        # Resamples of another stream than the table's.
        cluster = rows if by_row else rows // frames
        for name, draws in figures(models, cluster, RESAMPLES, seed + 10**7).items():
            estimate = draws.estimate()
            if estimate.low is not None and estimate.high is not None:
                held.setdefault(name, []).append(estimate.low <= truth[name] <= estimate.high)
    shares = {name: float(np.mean(values)) for name, values in held.items()}
    unit = "row" if by_row else "cluster"
    print(f"\n{clusters} clusters of {frames}, {positives:.0%} positive, resampled by {unit}, {tables} tables:")
    for name, share in shares.items():
        print(f"  {name:<36} {share:.1%}")
    return shares


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("clusters", "frames", "spread"), [(300, 1, 0.0), (100, 12, 0.8), (1200, 1, 0.0), (1200, 3, 0.8)]
)
def test_intervals_cover_the_true_value_93_to_97_percent(clusters, frames, spread):
    shares = coverage(clusters, frames, spread)
    # 2,000 tables know a share of 95% to one point, twice its standard error.
    outside = {name: shares[name] for name in CHECKED if not 0.93 <= shares[name] <= 0.97}
    assert not outside
    for name in AT_LEAST:
        assert shares[name] >= 0.93, name
    # With few negatives no interval is given.
    assert ("tpr_at_fpr_0.01" in shares) == (clusters == 1200)
    assert shares.get("tpr_at_fpr_0.01", 0.95) >= 0.93


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("levels", [2, 4, 12])
def test_equal_levels_are_significant_one_time_in_twenty(levels):
    """Levels of equal performance: how often the gap exceeds ``by_chance``, so that its interval excludes 0."""
    beyond: list[bool] = []
    values: list[float] = []
    for seed in range(400):
        table = simulate(seed, 150 * levels // 2, 4, 0.8)[0]
        # Another stream than that of the table, whose first numbers are the truth.
        group = np.random.default_rng((seed, 1)).integers(0, levels, 150 * levels // 2)
        table.frame["group.g"] = group.repeat(4)
        cluster = np.arange(len(table.frame)) // 4
        draw = draw_resamples(int(cluster.max()) + 1, RESAMPLES, seed)
        parts = measure(table, TASK, by_group(table, "g"), cluster, draw, DECISIONS).levels
        overall = measure(table, TASK, whole(table), cluster, draw, DECISIONS).levels[""]
        gap = gaps(parts, overall)["balanced_accuracy_difference"].estimate()
        assert gap.value is not None
        assert gap.low is not None
        beyond.append(gap.low > 0)
        values.append(gap.value)
    print(f"\n{levels} equal levels: mean gap {np.mean(values):.3f}, significant in {np.mean(beyond):.1%}")
    assert np.mean(beyond) <= 0.08


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_resampling_rows_of_videos_is_too_narrow():
    shares = coverage(100, 12, 0.8, by_row=True, tables=1000)
    assert max(shares[name] for name in ("accuracy", "balanced_accuracy", "auc", "average_precision")) < 0.8


FEW = ("accuracy", "balanced_accuracy", "true_positive_rate", "false_positive_rate", "selection_rate", "precision",
       "auc", "average_precision", "equal_error_rate")  # fmt: skip
# Levels; positive and negative videos of each; frames of each video; standard deviation by video.
FEW_CLUSTERS = [(2, 3, 30, 40, 0.8), (2, 6, 6, 40, 0.8), (2, 10, 10, 40, 1.5), (10, 10, 10, 12, 0.8),
                (2, 5, 60, 1, 0.0), (2, 12, 60, 1, 0.0), (4, 12, 60, 1, 0.0)]  # fmt: skip


def equal_levels(
    seed: int, *, levels: int, positive: int, negative: int, frames: int, spread: float
) -> tuple[Predictions, np.ndarray]:
    """Return a table whose levels have equal true performance, and the video of each row."""
    generator = np.random.default_rng(seed)
    true = np.tile(np.repeat([1, 0], [positive, negative]), levels)
    video = np.repeat(np.arange(len(true)), frames)
    logit = 2 * true[video] - 1 + generator.normal(0, spread, len(true))[video] + generator.normal(0, 0.9, len(video))
    level = np.repeat(np.arange(levels), positive + negative)[video].astype(str)
    frame = pd.DataFrame({"group.g": level, "true.t": true[video], "score.t.yes": 1 / (1 + np.exp(-logit))})
    return Predictions(frame, (TASK,)), video


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("levels", "positive", "negative", "frames", "spread"), FEW_CLUSTERS)
def test_few_clusters_keep_coverage_and_false_alarms(levels, positive, negative, frames, spread):
    """Few videos or few positives: the interval of a level holds the true value; equal levels are not significant."""
    metrics = [METRICS[name] for name in FEW]
    sizes = {"levels": levels, "positive": positive, "negative": negative, "frames": frames, "spread": spread}
    many = 100_000 // (positive + negative)
    large, rows = equal_levels(
        10**6, levels=1, positive=many * positive, negative=many * negative, frames=1, spread=spread
    )
    whole_table = measure(large, TASK, whole(large), rows, draw_resamples(len(rows), 1, 0), metrics).levels[""]
    truth = {name: draws.values[0] for name, draws in whole_table.items()}
    held: dict[str, list[bool]] = {}
    alarms: dict[str, list[bool]] = {}
    for seed in range(600):
        table, video = equal_levels(seed, **sizes)
        draw = draw_resamples(int(video.max()) + 1, 300, seed + 10**7)
        found = measure(table, TASK, by_group(table, "g"), video, draw, metrics).levels
        for name, draws in found["0"].items():
            estimate = draws.estimate()
            assert estimate.low is not None
            assert estimate.high is not None
            held.setdefault(name, []).append(estimate.low <= truth[name] <= estimate.high)
        overall = measure(table, TASK, whole(table), video, draw, metrics).levels[""]
        for name, draws in gaps(found, overall).items():
            if name.endswith("_difference") and draws.estimate().low is not None:
                alarms.setdefault(name, []).append((draws.estimate().low or 0.0) > 0)
    print(f"\n{sizes}, 600 tables:", {name: f"{np.mean(values):.1%}" for name, values in held.items()})
    print("  significant:", {name: f"{np.mean(values):.1%}" for name, values in alarms.items()})
    # 600 tables know a share of 95% to 1.8 points, twice its standard error.
    assert min(np.mean(values) for values in held.values()) >= 0.93 - 0.015
    assert max((np.mean(values) for values in alarms.values()), default=0.0) <= 0.075
