"""A method counts as tested only if its auxiliary acted as intended."""

import pytest

from auxface.studies.auxiliary_check import check_auxiliary


def record(ratio, skill, *, set_ratio: float | None = 1.0):
    """Return a record of four epochs; the last two have the given gradient ratio, the last one the given skill."""
    curve = []
    for epoch in range(4):
        late = epoch >= 2
        entry = {"epoch": epoch + 1, "val.balanced_accuracy": 0.6}
        entry |= {} if ratio is None else {"reconstruction.gradient_ratio": ratio if late else 50.0}
        entry |= {} if set_ratio is None else {"reconstruction.set_ratio": set_ratio}
        entry |= {"val.reconstruction.skill.bits": skill if epoch == 3 else 0.0}
        curve.append(entry)
    return {"curve": curve}


@pytest.mark.parametrize(
    ("ratios", "skills", "tested"),
    [
        ((1.0, 1.2, 0.9), (0.3, 0.3, 0.3), True),
        ((0.3, 0.3, 0.3), (0.2, 0.2, 0.2), True),
        ((0.1, 0.1, 0.1), (0.3, 0.3, 0.3), False),
        ((4.0, 4.0, 4.0), (0.3, 0.3, 0.3), False),
        # One weak seed does not exclude a method whose mean is within the limits.
        ((0.2, 1.0, 1.0), (0.1, 0.3, 0.3), True),
        ((1.0, 1.0, 1.0), (0.19, 0.19, 0.19), False),
    ],
)
def test_ratio_and_skill_decide_by_their_means_over_seeds(ratios, skills, tested):
    check = check_auxiliary([record(*pair) for pair in zip(ratios, skills)], learnable=0.4)
    assert (check.why == "") is tested


def test_the_reason_names_value_and_limit():
    check = check_auxiliary([record(0.1, 0.05)], learnable=0.4)
    assert "0.1 times that of the task, averaged over seeds; 0.3 to 3 is required" in check.why
    assert "was 0.05, averaged over seeds; at least 0.20 is required" in check.why
    assert (check.ratio, check.set_ratio, check.skill, check.needed) == (pytest.approx(0.1), 1.0, 0.05, 0.2)


def test_limits_are_multiples_of_the_set_ratio():
    assert check_auxiliary([record(0.1, 0.3, set_ratio=0.3)]).why == ""
    assert "0.09 to 0.9 is required" in check_auxiliary([record(1.0, 0.3, set_ratio=0.3)]).why


def test_without_a_set_ratio_only_a_negligible_gradient_is_refused():
    assert check_auxiliary([record(0.2, 0.3, set_ratio=None)]).why == ""
    assert "at least 0.05 is required" in check_auxiliary([record(0.04, 0.3, set_ratio=None)]).why


def test_a_control_must_not_learn():
    assert check_auxiliary([record(1.0, -0.02)], is_control=True).why == ""
    assert "at most 0.02 is allowed in a control" in check_auxiliary([record(1.0, 0.1)], is_control=True).why


def test_supervised_runs_have_no_check():
    assert check_auxiliary([{"curve": [{"epoch": 1, "val.balanced_accuracy": 0.6}]}]) is None
