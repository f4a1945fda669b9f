"""Power of gaps: hand-worked values, the studentized range, simulation, and what the report says."""

import json
import math
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import auxface
from auxface.cli import main
from auxface.errors import InputError
from auxface.evaluation import TableError, clusters_per_level, smallest_gap
from auxface.evaluation.gap_power import expected_gap, gap_power, more_clusters
from auxface.evaluation.intervals import Precision


def accuracy_table(seed, *, rates, n):
    """Return a table of correct and wrong decisions; level k has ``n[k]`` single faces and accuracy ``rates[k]``."""
    generator = np.random.default_rng(seed)
    level = np.repeat(np.arange(len(rates)), n)
    true = generator.integers(0, 2, len(level))
    right = generator.random(len(level)) < np.asarray(rates)[level]
    return pd.DataFrame({"y": true, "d": np.where(right, true, 1 - true), "g": [f"level {k}" for k in level]})


def audited(table, resamples=400, seed=1):
    found = auxface.audit(table, true="y", predicted="d", groups=["g"], kind="class", resamples=resamples, seed=seed)
    return found.models["table"].tasks["y"]


def test_two_levels_follow_the_textbook_formula():
    """(1.95996 + 0.84162) times the standard error of the difference, 0.05."""
    assert smallest_gap([0.03, 0.04]) == pytest.approx(2.80158 * 0.05, abs=1e-5)
    # Half the power is at the limit itself, 1.95996 standard errors.
    assert smallest_gap([0.03, 0.04], power=0.5) == pytest.approx(1.95996 * 0.05, abs=1e-4)


@pytest.mark.parametrize("levels", [2, 3, 7, 40])
def test_equal_levels_follow_the_studentized_range(levels):
    assert expected_gap([0.02] * levels) == pytest.approx(
        0.02 * stats.studentized_range.ppf(0.95, levels, 1e6), rel=1e-4
    )


@pytest.mark.parametrize("errors", [[0.02, 0.05, 0.01], [0.03] * 6, [0.04, 0.001]])
def test_the_power_equals_that_of_random_draws(errors):
    generator = np.random.default_rng(0)
    values = generator.normal(size=(200_000, len(errors))) * errors
    values[:, np.argmax(errors)] -= 0.1
    limit = expected_gap(errors)
    assert gap_power(0.1, errors, limit) == pytest.approx((np.ptp(values, axis=1) > limit).mean(), abs=0.005)
    assert gap_power(smallest_gap(errors), errors, limit) == pytest.approx(0.8, abs=1e-4)


def test_clusters_per_level_follow_the_formula_of_two_rates():
    """n = (1.96 + 0.84)² 2 p (1 - p) / gap² = 565.1 for p = 0.9; Student's quantile adds two."""
    n = 2.80158**2 * 2 * 0.9 * 0.1 / 0.05**2
    assert n <= clusters_per_level(0.9) <= n + 3
    # 20 frames of a video, correlated by 0.3, have 1 + 19 * 0.3 = 6.7 times the variance of 20 single faces.
    assert clusters_per_level(0.9, samples_per_cluster=20, correlation=0.3) == pytest.approx(n * 6.7 / 20, abs=4)
    assert clusters_per_level(0.9, samples_per_cluster=20, correlation=1.0) == clusters_per_level(0.9)


def test_further_clusters_make_the_gap_shown():
    levels = {"a": Precision(0.03, 400, 400), "b": Precision(0.05, 150, 150), "c": Precision(0.01, 9000, 9000)}
    more = more_clusters(levels)
    assert more["c"] == 0
    errors = [one.error * math.sqrt(one.clusters / (one.clusters + more[name])) for name, one in levels.items()]
    assert errors[0] == pytest.approx(errors[1], rel=0.01)
    assert smallest_gap([errors[0]] * 3) == pytest.approx(0.05, rel=0.01)


def test_an_audit_gives_the_smallest_gap_it_shows():
    """Two levels of 500 single faces with an accuracy of 0.9: 2.80158 sqrt(2 * 0.09 / 500) = 0.0532."""
    rows = accuracy_table(0, rates=(0, 0), n=(500, 500))
    rows["d"] = np.where(np.arange(1000) % 10 > 0, rows["y"], 1 - rows["y"])
    gap = audited(rows).gaps["g"]["accuracy_difference"].more
    assert gap["smallest_shown"] == pytest.approx(0.0532, rel=0.08)
    assert gap["levels"].keys() == {"level 0", "level 1"}
    for one in gap["levels"].values():
        # 568 are needed; the bootstrap's error of the standard error is some percent.
        assert 500 + one["more_clusters"] == pytest.approx(568, rel=0.15)


def test_the_plan_of_a_report_equals_that_of_its_audit(tmp_path, monkeypatch, capsys):
    table = accuracy_table(3, rates=(0.9, 0.8, 0.9), n=(200, 300, 400))
    out = tmp_path / "audit"
    found = auxface.audit(table, out, true="y", predicted="d", groups=["g"], kind="class", resamples=200)
    (planned,) = auxface.plan_audit(out)
    gap = found.models["table"].tasks["y"].gaps["g"]["accuracy_difference"].more
    assert planned["smallest_gap"] == pytest.approx(gap["smallest_shown"], abs=1e-4)
    more = {level: one["more_clusters"] for level, one in planned["levels"].items()}
    assert more == {level: one["more_clusters"] for level, one in gap["levels"].items()}
    page = (out / "report.html").read_text()
    assert f"by {100 * gap['smallest_shown']:.1f} points, the gap would be detected" in page
    for one in gap["levels"].values():
        assert f'>{one["more_clusters"]:,}<small class="why"></small></td>' in page
    monkeypatch.setattr(sys, "argv", ["auxface", "audit", "plan", str(out), "--gap", "0.1", "--json"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    (wider,) = json.loads(capsys.readouterr().out)
    assert all(one["more_clusters"] <= more[level] for level, one in wider["levels"].items())


def test_numbers_outside_their_range_are_refused(tmp_path):
    with pytest.raises(TableError, match="value is 1; expected a number between 0 and 1"):
        clusters_per_level(1)
    with pytest.raises(TableError, match=r"power is 0.01"):
        clusters_per_level(0.9, power=0.01)
    with pytest.raises(TableError, match=r"gap is 1e-300; expected a number from 0\.0001"):
        clusters_per_level(0.9, gap=1e-300)
    with pytest.raises(TableError, match=r"levels is 1e[+]08; expected a number from 2 to 1,000"):
        clusters_per_level(0.9, levels=10**8)
    with pytest.raises(InputError, match="no such file"):
        auxface.plan_audit(tmp_path / "report.json")
    with pytest.raises(InputError, match="has no groups"):
        auxface.plan_audit({"tasks": {"t": {"gaps": {}}}})


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("n", [(300, 300), (600, 200, 400), (250, 250, 250, 250, 250)])
def test_a_gap_of_the_stated_size_is_shown_by_80_percent(n):
    """Tables whose smallest level is worse by ``smallest_shown`` of a first table."""
    first = accuracy_table(0, rates=[0.85] * len(n), n=n)
    first["d"] = np.where(np.arange(len(first)) % 20 > 2, first["y"], 1 - first["y"])
    gap = audited(first).gaps["g"]["accuracy_difference"].more["smallest_shown"]
    rates = [0.85 + gap / 2 - gap * (k == int(np.argmin(n))) for k in range(len(n))]
    shown = []
    for seed in range(200):
        one = audited(accuracy_table(seed + 1, rates=rates, n=n), resamples=200, seed=seed).gaps["g"][
            "accuracy_difference"
        ]
        shown.append(one.value > one.more["by_chance_of_all"])
    print(n, round(gap, 4), np.mean(shown))
    assert 0.72 <= np.mean(shown) <= 0.89
