"""The results of an audit, and their form in ``report.json``."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from auxface.evaluation.compare import Comparison
from auxface.evaluation.detection_failure import DetectionFailures
from auxface.evaluation.format_control import FormatComparison, Probe
from auxface.evaluation.groups import CROSS
from auxface.evaluation.intervals import Draws, Estimate, rounded
from auxface.evaluation.metrics import PRIMARY, decision_metric
from auxface.evaluation.metrics.calibration import Bin
from auxface.evaluation.predictions import ScoredTask
from auxface.evaluation.weak_segments import WeakSegments

Estimates = dict[str, Estimate]
Severity = int | str


def estimates(found: Mapping[str, Draws]) -> Estimates:
    """Return the estimate of each metric, that is, its value with its interval."""
    return {name: draws.estimate() for name, draws in found.items()}


@dataclass
class OperatingPoint:
    """A threshold chosen by a named rule on the validation table, and the resulting metrics on the test table."""

    threshold: float
    rates: Estimates


@dataclass(frozen=True)
class CostPoint:
    """A threshold with its rates on the test table and on the validation table; the latter determine its cost."""

    threshold: float
    true_positive_rate: float
    false_positive_rate: float
    chosen_hits: float
    chosen_alarms: float

    def to_dict(self) -> dict[str, float]:
        """Return the values in the form of ``report.json``."""
        rates = {"true_positive_rate": self.true_positive_rate, "false_positive_rate": self.false_positive_rate}
        chosen = {
            "validation_true_positive_rate": self.chosen_hits,
            "validation_false_positive_rate": self.chosen_alarms,
        }
        return {name: rounded(one, 7) for name, one in ({"threshold": self.threshold} | rates | chosen).items()}


@dataclass(frozen=True)
class AtPrevalence:
    """Precision and costs at one fraction of positives.

    Attributes:
        precision: precision at the threshold in use.
        costs: expected cost per sample at the threshold in use, by the ratio of the costs of a miss and a false alarm.
        cheapest: threshold with the lowest cost on the validation table, by the cost of a miss.
    """

    precision: Estimate
    costs: dict[float, Estimate]
    cheapest: dict[float, CostPoint]

    def to_dict(self) -> dict[str, Any]:
        """Return the values in the form of ``report.json``."""
        costs: dict[str, dict[str, object]] = {
            f"{miss:g}": {"expected_cost": cost.to_dict()} for miss, cost in self.costs.items()
        }
        for miss, point in self.cheapest.items():
            costs[f"{miss:g}"]["cheapest"] = point.to_dict()
        return {"precision": self.precision.to_dict(), "miss_cost": costs}


@dataclass
class GroupThresholds:
    """Thresholds for the levels of a group, chosen on the validation table, and the resulting test metrics.

    To use these thresholds, the level of every sample must be known at test time.

    Attributes:
        rule: rule by which the thresholds were chosen.
        thresholds: threshold of each level.
        kept: reason why a level keeps the common threshold, by level.
        overall: estimates of the decision metrics, by name.
        gaps: estimates of the gaps, by name.
    """

    rule: str
    thresholds: dict[str, float]
    kept: dict[str, str]
    overall: Estimates
    gaps: Estimates

    def to_dict(self) -> dict[str, Any]:
        """Return the thresholds and metrics in the form of ``report.json``."""
        facts = {"needs_group_at_test_time": True, "rule": self.rule, "thresholds": self.thresholds, "kept": self.kept}
        return facts | {"overall": _plain(self.overall), "gaps": _plain(self.gaps)}


@dataclass
class GroupsUnderCorruption:
    """Metrics by group and level, and gaps by group, on images with one corruption at one severity."""

    groups: dict[str, dict[str, Estimates]] = field(default_factory=dict)
    gaps: dict[str, Estimates] = field(default_factory=dict)


@dataclass
class TaskAudit:
    """The results of one model on one task.

    Attributes:
        task: task with the thresholds in use.
        overall: estimate of each metric.
        groups: estimates by group, level and metric; the name of two crossed groups is ``"A × B"``.
        gaps: estimates by group and gap.
        to_reference: decision metric at a level minus its value at the reference level, by group and level.
        robustness: estimates by corruption, severity and metric.
        robustness_groups: metrics and gaps by group, for each corruption and severity.
        robustness_summary: estimates of the means over the common corruptions.
        datasets: estimates by dataset and metric, which form a row of the cross-dataset matrix; empty if there is only
            one dataset.
        videos: results of the same task with one row per video; None if no video has several frames.
        attributes: results of each attribute of a multi-label task, as a binary task.
        counted_as_errors: estimates of the metrics if every sample without a score counted as an error.
        operating_points: threshold and metrics of each rule, if a validation table was given.
        prevalence: precision and costs by fraction of positives, for binary tasks.
        cost_curve: candidate thresholds for the lowest cost, if a validation table was given.
        group_thresholds: thresholds of the levels of each group, if a validation table was given.
        calibrated: calibration metrics after division of the logits by ``temperature``, if a validation table was
            given.
        temperature: temperature fitted on the validation table; None if there is none.
        weak_segments: regions of the properties in which the model performs worse; None if no properties are known.
        file_probe: metric of a probe that uses only file properties; None if it was not measured.
        feature_probe: metric of a probe on features of an encoder that was not trained on these data; None if it was
            not measured.
        same_format: comparison with the AUC on images in a common format; None if it was not measured.
        reliability: bins of the reliability diagram.
        confusion: confusion matrix of counts, with true classes in rows and predicted classes in columns; None for
            kinds of tasks that have none.
        unlabeled: number of rows without a true label.
        unscored: number of rows with a true label but no score.
    """

    task: ScoredTask
    overall: Estimates
    groups: dict[str, dict[str, Estimates]] = field(default_factory=dict)
    gaps: dict[str, Estimates] = field(default_factory=dict)
    to_reference: dict[str, Estimates] = field(default_factory=dict)
    robustness: dict[str, dict[Severity, Estimates]] = field(default_factory=dict)
    robustness_groups: dict[str, dict[Severity, GroupsUnderCorruption]] = field(default_factory=dict)
    robustness_summary: Estimates = field(default_factory=dict)
    datasets: dict[str, Estimates] = field(default_factory=dict)
    videos: "TaskAudit | None" = None
    attributes: dict[str, "TaskAudit"] = field(default_factory=dict)
    counted_as_errors: Estimates = field(default_factory=dict)
    operating_points: dict[str, OperatingPoint] = field(default_factory=dict)
    prevalence: dict[float, AtPrevalence] = field(default_factory=dict)
    cost_curve: list[CostPoint] = field(default_factory=list)
    group_thresholds: dict[str, GroupThresholds] = field(default_factory=dict)
    calibrated: Estimates = field(default_factory=dict)
    temperature: float | None = None
    weak_segments: WeakSegments | None = None
    file_probe: Probe | None = None
    feature_probe: Probe | None = None
    same_format: FormatComparison | None = None
    reliability: list[Bin] = field(default_factory=list)
    confusion: np.ndarray | None = None
    unlabeled: int = 0
    unscored: int = 0

    @property
    def primary_metric(self) -> str:
        """Name of the metric by which models are ranked: the primary metric or, if undefined, a decision metric."""
        kind = self.task.kind
        return self._first_measured(PRIMARY[kind], decision_metric(kind), "accuracy")

    @property
    def decision_metric(self) -> str:
        """Name of the metric by which groups and corruptions are compared; accuracy if only one class occurs."""
        return self._first_measured(decision_metric(self.task.kind), "accuracy")

    def _first_measured(self, *names: str) -> str:
        known = [name for name in names if name in self.overall]
        return next((name for name in known if self.overall[name].value is not None), known[0])

    def to_dict(self) -> dict[str, Any]:
        """Return the results in the form of ``report.json``, without optional parts that were not measured."""
        entry: dict[str, Any] = {
            "kind": self.task.kind,
            "classes": list(self.task.classes),
            "thresholds": dict(self.task.thresholds),
            "threshold_rule": self.task.threshold_rule,
            "overall": _plain(self.overall),
            "groups": _by_two(self.groups),
            "gaps": _by_one(self.gaps),
            "robustness": {
                name: {str(severity): _plain(found) for severity, found in steps.items()}
                for name, steps in self.robustness.items()
            },
            "unlabeled": self.unlabeled,
            "unscored": self.unscored,
        }
        optional: dict[str, Any] = {
            "to_reference": _by_one(self.to_reference),
            "robustness_groups": {
                name: {
                    str(severity): {"groups": _by_two(found.groups), "gaps": _by_one(found.gaps)}
                    for severity, found in steps.items()
                }
                for name, steps in self.robustness_groups.items()
            },
            "robustness_summary": _plain(self.robustness_summary),
            "datasets": _by_one(self.datasets),
            "videos": self.videos.to_dict() if self.videos else None,
            "attributes": {name: _attribute_dict(found) for name, found in self.attributes.items()},
            "counted_as_errors": _plain(self.counted_as_errors),
            "operating_points": {
                rule: {"threshold": point.threshold} | _plain(point.rates)
                for rule, point in self.operating_points.items()
            },
            "prevalence": {f"{share:g}": found.to_dict() for share, found in self.prevalence.items()},
            "cost_curve": [point.to_dict() for point in self.cost_curve],
            "group_thresholds": {group: found.to_dict() for group, found in self.group_thresholds.items()},
            "calibrated": _plain(self.calibrated),
            "temperature": self.temperature,
            "weak_segments": self.weak_segments.to_dict() if self.weak_segments else None,
            "file_probe": self.file_probe.to_dict() if self.file_probe else None,
            "feature_probe": self.feature_probe.to_dict() if self.feature_probe else None,
            "same_format": self.same_format.to_dict() if self.same_format else None,
            "level_thresholds": None if self.task.level_thresholds is None else self.task.level_thresholds.to_dict(),
            "reliability": [
                {name: rounded(one) if isinstance(one, float) else one for name, one in vars(found).items()}
                for found in self.reliability
            ],
            "confusion": None if self.confusion is None else self.confusion.tolist(),
        }
        return entry | {name: value for name, value in optional.items() if value}


@dataclass
class ModelAudit:
    """The results of one model: tasks by name, numbers of excluded samples by reason, provenance and table size."""

    tasks: dict[str, TaskAudit]
    left_out: dict[str, int]
    provenance: dict[str, Any]
    rows: int
    clusters: int

    def to_dict(self) -> dict[str, Any]:
        """Return the results of the model in the form of ``report.json``."""
        tasks = {name: task.to_dict() for name, task in self.tasks.items()}
        size = {"rows": self.rows, "clusters": self.clusters}
        return {"tasks": tasks, "left_out": self.left_out, "provenance": self.provenance} | size


@dataclass
class Audit:
    """The results of an audit.

    Attributes:
        models: results of each model, by name.
        comparisons: comparisons of each pair of models, in every metric of every task and in the gaps of every group.
        notes: notes for the reader, for example about assumed thresholds.
        method: number of resamples, seed, confidence level, kind of clusters and other settings.
        failure_to_detect: fraction of samples in which no face was found; None if it is unknown.
    """

    models: dict[str, ModelAudit]
    comparisons: list[Comparison]
    notes: list[str]
    method: dict[str, Any]
    failure_to_detect: DetectionFailures | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``report.json``; several models are listed under ``models``, with comparisons."""
        common: dict[str, Any] = {"notes": self.notes, "method": self.method}
        if self.failure_to_detect is not None:
            common["failure_to_detect"] = self.failure_to_detect.to_dict()
        if len(self.models) == 1:
            return next(iter(self.models.values())).to_dict() | common
        compared: dict[str, list[dict[str, object]]] = {}
        for item in self.comparisons:
            compared.setdefault(item.task, []).append(item.to_dict())
        models = {name: model.to_dict() for name, model in self.models.items()}
        return {"models": models, "comparisons": compared} | common


def _attribute_dict(found: TaskAudit) -> dict[str, Any]:
    """Return the entry of one attribute, without empty parts and without crossed groups, which would fill the file."""
    groups = {name: levels for name, levels in found.groups.items() if CROSS not in name}
    gaps = {name: measured for name, measured in found.gaps.items() if CROSS not in name}
    entry = replace(found, groups=groups, gaps=gaps).to_dict()
    return {name: value for name, value in entry.items() if value or name in ("overall", "groups", "gaps")}


def _plain(found: Mapping[str, Estimate]) -> dict[str, dict[str, object]]:
    return {name: estimate.to_dict() for name, estimate in found.items()}


def _by_one(found: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
    return {name: _plain(estimates) for name, estimates in found.items()}


def _by_two(found: Mapping[str, Mapping[str, Mapping[str, Estimate]]]) -> dict[str, Any]:
    return {group: {level: _level(one) for level, one in levels.items()} for group, levels in found.items()}


def _level(found: Mapping[str, Estimate]) -> dict[str, Any]:
    """Return the metrics of a level, or a single ``why`` if none can be measured for the same reason."""
    reasons = {estimate.why if estimate.value is None else None for estimate in found.values()}
    return {"why": reasons.pop()} if len(reasons) == 1 and None not in reasons else _plain(found)
