"""Honest measurement of face models from tables of predictions: tables in, reports out.

Usable with nothing else of auxface: numpy, pandas, scipy, scikit-learn and pyarrow; matplotlib and jinja2 are loaded
when a page is written. ``docs/evaluation.md`` explains every number.
"""

from auxface.evaluation.audit_tables import audit_tables
from auxface.evaluation.compare import Comparison
from auxface.evaluation.intervals import Clusters, Estimate
from auxface.evaluation.io import (
    join_conditions,
    read_conditions,
    read_predictions,
    split_conditions,
    write_predictions,
)
from auxface.evaluation.metrics.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
)
from auxface.evaluation.metrics.verification import pair_similarity, recall_at_k, tar_at_far
from auxface.evaluation.predictions import (
    LevelThresholds,
    Predictions,
    TableError,
    Task,
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

__all__ = [
    "Audit",
    "Clusters",
    "Comparison",
    "Curves",
    "Estimate",
    "Figure",
    "LevelThresholds",
    "ModelAudit",
    "Predictions",
    "Section",
    "TableError",
    "Task",
    "TaskAudit",
    "audit_tables",
    "brier_score",
    "choose_abstain_band",
    "choose_abstain_confidence",
    "choose_level_thresholds",
    "choose_threshold",
    "cross_dataset",
    "expected_calibration_error",
    "fit_temperature",
    "join_conditions",
    "merge_predictions",
    "pair_similarity",
    "read_conditions",
    "read_predictions",
    "recall_at_k",
    "reliability_bins",
    "split_conditions",
    "tar_at_far",
    "write_predictions",
    "write_report",
]
