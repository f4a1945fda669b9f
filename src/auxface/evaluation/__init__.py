"""Honest measurement of face models from tables of predictions: tables in, reports out.

Usable with nothing else of auxface: numpy, pandas, scipy, scikit-learn and pyarrow; matplotlib and jinja2 are loaded when
a page is written. ``docs/evaluation.md`` explains every number.
"""

from auxface.evaluation.audit import Audit, ModelAudit, TaskAudit, audit_tables
from auxface.evaluation.bootstrap import Estimate
from auxface.evaluation.calibration import fit_temperature
from auxface.evaluation.comparing import Comparison
from auxface.evaluation.page import Curves, Figure, Section, write_report
from auxface.evaluation.storage import read_predictions, write_predictions
from auxface.evaluation.table import Predictions, TableError, Task
from auxface.evaluation.thresholds import choose_threshold

__all__ = [
    "Audit",
    "Comparison",
    "Curves",
    "Estimate",
    "Figure",
    "ModelAudit",
    "Predictions",
    "Section",
    "TableError",
    "Task",
    "TaskAudit",
    "audit_tables",
    "choose_threshold",
    "fit_temperature",
    "read_predictions",
    "write_predictions",
    "write_report",
]
