"""Evaluation of any model from a table of its predictions: metrics with intervals, by group, as tables and a report.

The package depends on numpy, pandas, scipy, scikit-learn and pyarrow; matplotlib and jinja2 are loaded only when a
report page is written. It does not need the rest of auxface. ``docs/evaluation.md`` explains every number.

>>> import pandas as pd
>>> frame = pd.DataFrame({"true.forged": [0, 0, 1, 1], "score.forged.forged": [0.1, 0.6, 0.4, 0.9]})
>>> table = Predictions(frame, (ScoredTask("forged", "binary", ("real", "forged"), {"forged": 0.5}),))
>>> audit_tables({"ours": table}, resamples=100).models["ours"].tasks["forged"].overall["auc"].value
0.75
"""

from auxface.evaluation.audit_tables import audit_tables
from auxface.evaluation.clusters import Clusters
from auxface.evaluation.columns import Columns
from auxface.evaluation.compare import Comparison, Rank, is_significant, ranks
from auxface.evaluation.detection_failure import DetectionFailures, failure_to_detect
from auxface.evaluation.format_control import FormatComparison, Probe, compare_formats, compare_probe, probe_files
from auxface.evaluation.gap_power import clusters_per_level, smallest_gap
from auxface.evaluation.intervals import Estimate
from auxface.evaluation.io import (
    join_conditions,
    read_conditions,
    read_predictions,
    split_conditions,
    write_predictions,
)
from auxface.evaluation.metric_by_group import MetricByGroup, metric_by_group
from auxface.evaluation.metrics import METRICS, register_metric
from auxface.evaluation.metrics.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
)
from auxface.evaluation.metrics.embeddings import (
    all_pairs,
    pair_similarity,
    recall_at_k,
    tar_at_far,
    validation_recall,
    verification_auc,
)
from auxface.evaluation.metrics.metric import Metric, MetricInput, mean_over_samples, metric_from_function
from auxface.evaluation.predictions import (
    LevelThresholds,
    Predictions,
    ScoredTask,
    TableError,
    cross_dataset,
    merge_predictions,
)
from auxface.evaluation.report.page import Curves, Figure, Section, write_report
from auxface.evaluation.results import Audit, ModelAudit, TaskAudit
from auxface.evaluation.thresholds import (
    choose_abstain_band,
    choose_abstain_confidence,
    choose_level_thresholds,
    choose_threshold,
)
from auxface.evaluation.verification import (
    PairFigures,
    ScoredPairs,
    auc_difference,
    choose_pair_threshold,
    measure_pairs,
    measure_retrieval,
)

__all__ = [
    "Audit",
    "Clusters",
    "Columns",
    "Comparison",
    "Curves",
    "DetectionFailures",
    "Estimate",
    "Figure",
    "FormatComparison",
    "LevelThresholds",
    "METRICS",
    "Metric",
    "MetricByGroup",
    "MetricInput",
    "ModelAudit",
    "PairFigures",
    "Predictions",
    "Probe",
    "Rank",
    "ScoredPairs",
    "Section",
    "TableError",
    "ScoredTask",
    "TaskAudit",
    "all_pairs",
    "auc_difference",
    "audit_tables",
    "brier_score",
    "choose_abstain_band",
    "choose_abstain_confidence",
    "choose_level_thresholds",
    "choose_pair_threshold",
    "choose_threshold",
    "clusters_per_level",
    "compare_formats",
    "compare_probe",
    "cross_dataset",
    "expected_calibration_error",
    "failure_to_detect",
    "fit_temperature",
    "is_significant",
    "join_conditions",
    "mean_over_samples",
    "merge_predictions",
    "measure_pairs",
    "measure_retrieval",
    "metric_by_group",
    "metric_from_function",
    "pair_similarity",
    "probe_files",
    "ranks",
    "read_conditions",
    "read_predictions",
    "recall_at_k",
    "register_metric",
    "smallest_gap",
    "reliability_bins",
    "split_conditions",
    "tar_at_far",
    "validation_recall",
    "verification_auc",
    "write_predictions",
    "write_report",
]
