"""Precision and cost at another prevalence: resampled and counted tables are the oracle."""

import numpy as np
import pytest
from simulated_tables import forged_predictions

from auxface.evaluation import audit_tables
from auxface.evaluation.prevalence import MISS_COSTS, PREVALENCES, precision_at


@pytest.fixture(scope="module")
def tables():
    return forged_predictions(n=1500, seed=1), forged_predictions(n=1500, seed=2)


@pytest.fixture(scope="module")
def audited(tables):
    table, validation = tables
    return audit_tables({"m": table}, validation={"m": validation}, resamples=100).models["m"].tasks["forged"]


def columns(table):
    return table.frame["true.forged"].to_numpy(), table.frame["score.forged.forged"].to_numpy()


def weights_of(true, prevalence):
    """Weights with which positives are this fraction of the table."""
    return np.where(true == 1, prevalence / true.mean(), (1 - prevalence) / (1 - true.mean()))


def test_bayes_follows_a_hand_worked_example():
    """Of 1,000 images 1 is forged: 0.9 are found, with 9.99 false alarms: 0.9 / 10.89."""
    assert precision_at(0.001, 0.9, 0.01) == pytest.approx(0.9 / 10.89)


@pytest.mark.parametrize("prevalence", PREVALENCES)
def test_precision_and_cost_equal_those_of_a_reweighted_table(tables, audited, prevalence):
    true, score = columns(tables[0])
    weight, alarm = weights_of(true, prevalence), score >= 0.5
    found = audited.prevalence[prevalence]
    assert found.precision.value == pytest.approx(weight[alarm & (true == 1)].sum() / weight[alarm].sum())
    assert found.precision.low < found.precision.value < found.precision.high
    for miss, cost in found.costs.items():
        each = np.where(true == 1, miss * ~alarm, alarm)
        assert cost.value == pytest.approx((weight * each).mean())


def test_the_threshold_has_the_lowest_counted_cost(tables, audited):
    """Every score of the validation table is tried as a threshold."""
    true, score = columns(tables[1])
    test_true, test_score = columns(tables[0])
    for prevalence in PREVALENCES:
        weight = weights_of(true, prevalence)
        for miss in MISS_COSTS:
            chosen = audited.prevalence[prevalence].cheapest[miss]
            costs = [
                (weight * np.where(true == 1, miss * (score < t), score >= t)).mean() for t in [*np.unique(score), 2.0]
            ]
            own = (weight * np.where(true == 1, miss * (score < chosen.threshold), score >= chosen.threshold)).mean()
            assert own == pytest.approx(min(costs), abs=1e-9)
            rate = (test_score[test_true == 1] >= chosen.threshold).mean()
            assert chosen.true_positive_rate == pytest.approx(rate)


def test_without_a_validation_table_no_threshold_is_chosen(tables):
    found = audit_tables({"m": tables[0]}, resamples=50).models["m"].tasks["forged"]
    assert found.cost_curve == []
    assert found.prevalence[0.01].cheapest == {}
    assert found.to_dict()["prevalence"]["0.01"]["miss_cost"]["10"]["expected_cost"]["value"] > 0
