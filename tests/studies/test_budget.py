"""Time budgets: which run starts next, and how long it should take."""

from pathlib import Path

import pytest

from auxface.errors import InputError
from auxface.progress import parse_budget
from auxface.studies.definition import Study
from auxface.studies.grid import PendingRun, expected_seconds, next_run, plan_runs

RUNS = plan_runs(
    Study.model_validate(
        {
            "name": "small",
            "about": "A question.",
            "data": [{"name": "faces", "manifest": "faces.parquet", "task": "gender"}],
            "methods": {"supervised": {"recipe": "supervised"}, "l_ssat": {"recipe": "l_ssat"}},
            "seeds": [0],
            "compare": {"baseline": "supervised"},
        }
    ),
    Path(),
)


@pytest.mark.parametrize(("text", "seconds"), [("25m", 1500), ("1h30m", 5400), ("90s", 90), ("0.5h", 1800)])
def test_budgets_are_parsed(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "25", "m", "25 minutes", "1m30"])
def test_invalid_budgets_are_refused(text):
    with pytest.raises(InputError, match="--budget"):
        parse_budget(text)


def done(run, seconds, machine="here"):
    return {"status": "done", "machine": machine, "row": run.row, "data": run.data.name, "wall_seconds": seconds}


def test_expected_time_is_the_median_of_the_same_row_here():
    first, second = RUNS
    lines = [done(first, 10), done(first, 20), done(first, 30), done(first, 999, "elsewhere")]
    assert expected_seconds(PendingRun(first, "k"), lines, "here") == 20
    assert expected_seconds(PendingRun(first, "k", remaining=0.5), lines, "here") == 10
    assert expected_seconds(PendingRun(second, "k"), lines, "here") == 30
    assert expected_seconds(PendingRun(first, "k"), lines, "nowhere") is None


def test_the_next_run_fits_and_interrupted_runs_come_first():
    small, large = RUNS
    lines = {"a": done(small, 10), "b": done(large, 100)}
    pending = [PendingRun(large, "large"), PendingRun(small, "small")]
    assert next_run(pending, lines, "here", None).key == "large"
    assert next_run(pending, lines, "here", 50).key == "small"
    assert next_run(pending, lines, "here", 5) is None
    # A run longer than the whole budget may start; the next call resumes it.
    assert next_run(pending, lines, "here", 50, budget=60).key == "large"
    assert next_run(pending, lines, "here", 5, budget=200) is None
    resumed = [*pending, PendingRun(small, "interrupted", remaining=0.4)]
    assert next_run(resumed, lines, "here", 50).key == "interrupted"
