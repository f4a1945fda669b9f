"""The planned comparisons of a study: every method with the baseline, and every method with its control.

Differences are paired by seed and computed on the same resamples of the test samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from auxface.evaluation.compare import Comparison, holm
from auxface.evaluation.intervals import Draws
from auxface.evaluation.metrics import decision_metric
from auxface.evaluation.predictions import ScoredTask
from auxface.studies.auxiliary_check import AuxiliaryCheck, check_auxiliary
from auxface.studies.definition import Method, Study
from auxface.studies.grid import expand_methods, row_name
from auxface.studies.results_file import RunRecord
from auxface.studies.statistics import difference_over_seeds

Drawn = dict[str, Draws]


@dataclass(frozen=True)
class MeasuredRun:
    """The record of a run, its overall metrics, and the gaps of each group.

    Attributes:
        record: record of the run.
        overall: metrics over all test samples.
        gaps: gaps by group column.
    """

    record: RunRecord
    overall: Drawn
    gaps: dict[str, Drawn]

    def metrics(self, group: str = "") -> Drawn:
        """Return the gaps of a group, or the overall metrics."""
        return self.gaps[group] if group else self.overall


MeasuredSeeds = Mapping[int, MeasuredRun]


@dataclass(frozen=True)
class StudyComparison(Comparison):
    """The difference between two methods of a study.

    Attributes:
        not_tested: reason why the difference does not answer the study's question; "" if it does.
        with_control: whether the second method is the control of the first one; otherwise, it is the baseline.
    """

    not_tested: str = ""
    with_control: bool = False

    def to_dict(self) -> dict[str, object]:
        """Return the comparison as plain data for the JSON document."""
        facts = super().to_dict() | ({"with_control": True} if self.with_control else {})
        return facts | ({"not_tested": self.not_tested} if self.not_tested else {})


def check_methods(study: Study, data: str, measured: Mapping[str, MeasuredSeeds]) -> dict[str, AuxiliaryCheck]:
    """Return the check of each method on a data set whose auxiliary was logged, by row name.

    Args:
        study: the study.
        data: name of the data set.
        measured: runs by row name and seed.
    """
    methods = expand_methods(study)
    checks = {}
    for row, by_seed in measured.items():
        method = methods.get(_method_of(by_seed))
        if method is not None:
            records = [run.record for run in by_seed.values()]
            check = check_auxiliary(
                records, learnable=method.learnable.get(data), is_control=method.control_of is not None
            )
            checks |= {} if check is None else {row: check}
    return checks


def compare_methods(
    study: Study,
    data: str,
    task: ScoredTask,
    measured: Mapping[str, MeasuredSeeds],
    checks: Mapping[str, AuxiliaryCheck],
) -> tuple[list[StudyComparison], list[StudyComparison]]:
    """Compare the methods on one data set.

    Args:
        study: the study.
        data: name of the data set.
        task: task of the models.
        measured: runs by row name and seed.
        checks: check of each method with an auxiliary, by row name.

    Returns:
        The comparisons with the baseline and with controls by the metric of the data set, and the comparisons with the
        baseline by the gap of every group column.
    """
    comparisons: list[StudyComparison] = []
    gap_comparisons: list[StudyComparison] = []
    gap = f"{decision_metric(task.kind)}_difference"
    metric = study.metric_of(data)
    methods = expand_methods(study)

    def reason(row: str) -> str:
        method = methods.get(_method_of(measured[row]))
        given = "" if method is None else method.not_tested.get(data, "")
        return given or (checks[row].why if row in checks else "")

    for row, by_seed in measured.items():
        run = next(iter(by_seed.values()))
        name, factors = run.record["method"], run.record["factors"]
        baseline = row_name(study.compare.baseline, factors)
        if name != study.compare.baseline and baseline in measured:
            for group in ("", *run.gaps):
                target, found = (gap, gap_comparisons) if group else (metric, comparisons)
                item = _difference(data, target, row, baseline, measured, group)
                found += [] if item is None else [replace(item, not_tested=reason(row))]
        for control in _controls(methods, name):
            other = row_name(control, factors)
            if other in measured and (item := _difference(data, metric, row, other, measured, "")) is not None:
                comparisons.append(replace(item, not_tested=reason(row) or reason(other), with_control=True))
    return comparisons, gap_comparisons


def correct_for_all(families: Sequence[list[StudyComparison]]) -> None:
    """Correct the p-values of all tested comparisons by Holm's method (1979), in place.

    Comparisons that are not tested get no corrected p-value and do not count as comparisons.

    Args:
        families: the comparisons on each data set, which together form one family.
    """
    tested = [item for found in families for item in found if not item.not_tested]
    # One family, even if data sets have different metrics.
    corrected = iter(holm([replace(item, metric="") for item in tested]))
    for found in families:
        found[:] = [item if item.not_tested else replace(item, p_holm=next(corrected).p_holm) for item in found]


def _difference(
    data: str, metric: str, first: str, second: str, measured: Mapping[str, MeasuredSeeds], group: str
) -> StudyComparison | None:
    sides = [
        {seed: run.metrics(group)[metric] for seed, run in measured[row].items() if metric in run.metrics(group)}
        for row in (first, second)
    ]
    found = difference_over_seeds(*sides)
    return None if found is None else StudyComparison(data, metric, first, second, found.estimate, found.p, group=group)


def _method_of(by_seed: MeasuredSeeds) -> str:
    return next(iter(by_seed.values())).record["method"]


def _controls(methods: Mapping[str, Method], name: str) -> list[str]:
    return [other for other, method in methods.items() if method.control_of == name]
