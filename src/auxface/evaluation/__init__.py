"""Honest measurement of face models from tables of predictions: tables in, reports out.

Usable with nothing else of auxface: numpy, pandas, scipy, scikit-learn and pyarrow; matplotlib and jinja2 are loaded
when a page is written. ``docs/evaluation.md`` explains every number.
"""

from auxface.evaluation.abstaining import choose_abstain_band, choose_abstain_confidence
from auxface.evaluation.audit import audit_tables
from auxface.evaluation.bootstrap import Estimate
from auxface.evaluation.calibration import fit_temperature
from auxface.evaluation.clusters import Clusters
from auxface.evaluation.comparing import Comparison
from auxface.evaluation.conditions import join_conditions, split_conditions
from auxface.evaluation.group_thresholds import choose_level_thresholds
from auxface.evaluation.merging import cross_dataset, merge_predictions
from auxface.evaluation.page import Curves, Figure, Section, write_report
from auxface.evaluation.reliability import brier_score, expected_calibration_error, reliability_bins
from auxface.evaluation.results import Audit, ModelAudit, TaskAudit
from auxface.evaluation.storage import read_conditions, read_predictions, write_predictions
from auxface.evaluation.table import LevelThresholds, Predictions, TableError, Task
from auxface.evaluation.thresholds import choose_threshold
from auxface.evaluation.verification import pair_similarity, recall_at_k, tar_at_far

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
