"""Ranks over data sets against the tables and the worked example of Demšar (2006)."""

import pytest
from scipy import stats

from auxface.studies.statistics import critical_difference, critical_difference_diagram, rank_methods

# Demšar (2006), table 5(a): q at 5% for k = 2 to 10 methods.
Q = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}

# Demšar (2006), table 6: AUC of four learners on fourteen data sets.
AUC = [
    (0.763, 0.768, 0.771, 0.798), (0.599, 0.591, 0.590, 0.569), (0.954, 0.971, 0.968, 0.967),
    (0.628, 0.661, 0.654, 0.657), (0.882, 0.888, 0.886, 0.898), (0.936, 0.931, 0.916, 0.931),
    (0.661, 0.668, 0.609, 0.685), (0.583, 0.583, 0.563, 0.625), (0.775, 0.838, 0.866, 0.875),
    (1.000, 1.000, 1.000, 1.000), (0.940, 0.962, 0.965, 0.962), (0.619, 0.666, 0.614, 0.669),
    (0.972, 0.981, 0.9751, 0.975), (0.957, 0.978, 0.946, 0.970),
]  # fmt: skip
LEARNERS = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")


def learned():
    return {f"set {at}": dict(zip(LEARNERS, row)) for at, row in enumerate(AUC)}


@pytest.mark.parametrize("methods", Q)
def test_critical_difference_equals_demsars_table(methods):
    expected = Q[methods] * (methods * (methods + 1) / (6 * 14)) ** 0.5
    assert critical_difference(methods, 14) == pytest.approx(expected, rel=1e-3)


def test_ranks_of_demsars_worked_example():
    found = rank_methods(learned())
    # In the paper: 3.143, 2.000, 2.893, 1.964; critical difference 1.25.
    assert found.mean == {
        "C4.5+m+cf": pytest.approx(1.964, abs=1e-3),
        "C4.5+m": pytest.approx(2.000, abs=1e-3),
        "C4.5+cf": pytest.approx(2.893, abs=1e-3),
        "C4.5": pytest.approx(3.143, abs=1e-3),
    }
    assert found.critical_difference == pytest.approx(1.25, abs=0.01)
    assert found.p == pytest.approx(stats.friedmanchisquare(*zip(*AUC)).pvalue)
    assert found.can_be_significant
    assert found.groups == (tuple(found.mean),)


def test_groups_are_longest_runs_without_a_difference():
    values = {f"set {at}": {name: -float(place) for place, name in enumerate("abcdef")} for at in range(20)}
    found = rank_methods(values)
    assert found.critical_difference == pytest.approx(1.686, abs=0.01)
    assert found.groups == (("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "f"))


def test_too_few_data_sets_give_a_reason_instead_of_ranks():
    assert "2 data sets and 3 methods" in rank_methods({"x": {"a": 1.0, "b": 2.0, "c": 3.0}})
    two = rank_methods({"x": {"a": 1.0, "b": 2.0, "c": 3.0}, "y": {"a": 1.0, "b": 2.0, "c": 3.0}})
    assert not two.can_be_significant


def test_methods_missing_on_a_data_set_are_excluded():
    values = learned()
    values["set 0"]["extra"] = 0.9
    assert set(rank_methods(values).mean) == set(LEARNERS)


def test_diagram_names_each_method_once_and_escapes_names():
    found = rank_methods({f"s{at}": {"a<b": 1.0, "c": 2.0, "d": 3.0} for at in range(5)})
    svg = critical_difference_diagram(found)
    assert svg.count("a&lt;b") == 1
    assert "a<b" not in svg
    assert "critical difference" in svg
