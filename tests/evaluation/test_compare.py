import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import auxface
from auxface.evaluation import Comparison, Estimate, Rank, ranks


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
    own = compared("a", "b", 0.3, significant=False)
    others = [
        compared("a", "b", 0.3, significant=True, metric="accuracy"),
        replace(compared("a", "b", 0.3, significant=True), task="other"),
        replace(compared("a", "b", 0.3, significant=True), group="sex"),
    ]
    found = ranks("ab", [*others, own], "forged", "auc")
    assert found == {"a": Rank(1, 2, ("b",)), "b": Rank(1, 2, ("a",))}
    assert ranks("ab", others, "forged", "auc") == {}


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


def shuffled_tables(**columns):
    """Two models on the same 200 samples, the second in another row order."""
    random = np.random.default_rng(1)
    truth = random.integers(0, 2, 200)
    frames = [
        pd.DataFrame({"label": truth, "score": expit(strength * truth + random.normal(size=200)), **columns})
        for strength in (2.0, 0.5)
    ]
    return frames, [frames[0], frames[1].sample(frac=1, random_state=2)]


@pytest.mark.parametrize(
    "columns",
    [
        {"id": [f"image {number}" for number in range(200)]},
        {"video": [f"{number}.mp4" for number in range(200)]},
        {"Image Path": [f"{number % 3}/{number}.png" for number in range(200)]},
        {"dataset": "d", "method": "", "source": [f"s{number}" for number in range(200)], "video": "", "frame": 0},
    ],
    ids=["id", "video", "path", "key columns"],
)
def test_rows_in_another_order_are_matched(columns):
    first, second = (
        auxface.audit(tables, true="label", score="score", names=["one", "two"], resamples=100)
        for tables in shuffled_tables(**columns)
    )
    found = [{item.metric: item.difference.value for item in one.comparisons} for one in (first, second)]
    assert found[0]["auc"] > 0.1
    assert found[0] == pytest.approx(found[1])
    assert not any("repeat" in note for note in second.notes)


@pytest.mark.parametrize("name", ["id", "video", "path"])
def test_rows_of_tables_with_auxface_names_are_matched(name):
    tables = shuffled_tables(**{name: [f"x{number}" for number in range(200)]})[1]
    tables = [table.rename(columns={"label": "true.fake", "score": "score.fake.yes"}) for table in tables]
    assert auxface.audit(tables, names=["one", "two"], resamples=100).comparisons


def test_rows_are_matched_by_a_column_that_both_tables_have():
    paths = [f"x{number}" for number in range(200)]
    first, second = shuffled_tables(path=paths)[1]
    first, second = first.assign(id=range(200)), second.assign(video=paths)
    assert compared_by_id([first, second]).comparisons


def test_models_that_cannot_be_compared_have_no_ranks(tmp_path):
    frames = [frame for tables in (shuffled_tables()[1], shuffled_tables()[1]) for frame in tables]
    frames = [frame.iloc[: 200 - number] for number, frame in enumerate(frames)]
    audit = auxface.audit(frames, tmp_path / "audit", true="label", score="score", names=list("abcd"), resamples=100)
    assert ranks("abcd", audit.comparisons, "label", "auc") == {}
    assert [note for note in audit.notes if note.startswith("a, b, c and d are not compared: ")]
    page = (tmp_path / "audit" / "report.html").read_text()
    assert "<h3>Ranks</h3>" not in page
    assert "comparisons.csv" not in page
    assert "The models are not compared with each other" in page


def ids_and(**changes):
    return {"id": [changes.get(f"s{number}", f"s{number}") for number in range(200)]}


def compared_by_id(tables):
    return auxface.audit(tables, true="label", score="score", names=["one", "two"], resamples=100)


@pytest.mark.parametrize("changed", ["s4", None])
def test_rows_are_not_paired_by_position_if_ids_repeat_or_are_missing(changed):
    in_order, shuffled = shuffled_tables(**ids_and(s5=changed))
    assert compared_by_id(in_order).comparisons
    found = compared_by_id(shuffled)
    assert not found.comparisons
    assert any("the ids of the two tables are not in the same order" in note for note in found.notes)
    count = "0 of its 200 values are missing, and 1 repeat" if changed else "1 of its 200 values are missing, and 0"
    assert any(f"Column 'id' does not identify the samples: {count}" in note for note in found.notes)


def test_shared_samples_with_different_labels_are_not_compared():
    first, second = shuffled_tables(**ids_and())[1]
    second.loc[7, "label"] = 1 - second.loc[7, "label"]
    found = compared_by_id([first, second])
    assert not found.comparisons
    assert any("1 of the 200 shared samples has different true labels" in note for note in found.notes)
