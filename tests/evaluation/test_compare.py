import re

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import auxface
from auxface.evaluation import Comparison, Estimate, ranks


def compared(first, second, value, *, significant, metric="auc"):
    half = 0.01 if significant else 0.2
    difference = Estimate(value, value - half, value + half, 100, 100)
    return Comparison("forged", metric, first, second, difference, 0.001, 0.01 if significant else 0.4)


def four_models(metric, sign):
    """A is better than C and D, and B is better than D; all other pairs are tied."""
    better = {("a", "c"), ("a", "d"), ("b", "d")}
    pairs = [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]
    return [compared(*pair, sign * 0.05, significant=pair in better, metric=metric) for pair in pairs]


@pytest.mark.parametrize(("metric", "sign"), [("auc", 1), ("expected_calibration_error", -1)])
def test_ranks_leave_room_for_models_that_do_not_differ(metric, sign):
    found = ranks("abcd", four_models(metric, sign), "forged", metric)
    assert {name: (one.best, one.worst, one.tied) for name, one in found.items()} == {
        "a": (1, 2, ("b",)),
        "b": (1, 3, ("a", "c")),
        "c": (2, 4, ("b", "d")),
        "d": (3, 4, ("c",)),
    }


def test_comparisons_of_other_tasks_metrics_and_groups_change_no_rank():
    found = ranks("ab", [compared("a", "b", 0.3, significant=True, metric="accuracy")], "forged", "auc")
    assert found["a"] == found["b"].__class__(1, 2, ("b",))
    assert ranks("ab", [compared("a", "b", 0.3, significant=True)], "other", "auc")["b"].best == 1


def test_the_page_ranks_four_models(tmp_path):
    random = np.random.default_rng(0)
    truth = np.repeat([0, 1], 150)
    frames = [
        pd.DataFrame({"id": range(300), "label": truth, "score": expit(truth * strength + random.normal(size=300))})
        for strength in (3.0, 1.0, 1.0, 0.0)
    ]
    names = ["strong", "weak one", "weak two", "chance"]
    auxface.audit(frames, tmp_path / "audit", true="label", score="score", names=names, resamples=100)
    page = (tmp_path / "audit" / "report.html").read_text()
    rows = re.search("<h3>Ranks</h3>.*?</table>", page, re.DOTALL)[0].split("<tr>")[2:]
    texts = [re.sub("<[^>]+>", " ", row) for row in rows]
    assert [re.search("^ *(.*?)  ", text)[1] for text in texts] == ["strong", "weak two", "weak one", "chance"]
    found = [re.findall(r'<td data-heading="ranks">([^<]*)</td>', row)[0] for row in rows]
    assert found == ["1", "2 to 3", "2 to 3", "4"]
    assert ">none</td>" in rows[0]
    assert ">weak one</td>" in rows[1]


def test_tables_without_keys_are_named_in_one_note():
    frame = pd.DataFrame({"label": [0, 1] * 30, "score": np.linspace(0, 1, 60)})
    names = ["one", "two", "three", "four"]
    audit = auxface.audit([frame] * 4, true="label", score="score", names=names, resamples=100)
    about = [note for note in audit.notes if "without key columns" in note]
    assert len(about) == 1
    assert about[0].startswith("one, two, three and four: ")
