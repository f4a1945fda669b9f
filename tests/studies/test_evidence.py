"""Made results with a known answer: true differences are found, none are found where there are none."""

import json

import pytest

from auxface.errors import InputError
from auxface.studies.document import document
from auxface.studies.evidence import gather
from auxface.studies.markdown import markdown_tables
from auxface.studies.page import render
from auxface.studies.panels import efficiency_curves
from auxface.studies.wording import verdict


def verdicts(study, results):
    evidence = gather(study, results, len(results), resamples=200)
    return [verdict(item) for one in evidence.data for item in one.comparisons]


def test_no_difference_is_found_where_there_is_none(made, study_of, tmp_path):
    """Three methods alike: after correction at most one study in twenty may claim anything."""
    study = study_of(["faces"], ["plain", "second", "third"], (0, 1, 2))
    claims = 0
    for chance in range(40):
        found = verdicts(study, made(tmp_path / str(chance), dict.fromkeys(study.methods, 0.7), chance=chance))
        claims += any(item != "not told apart" for item in found)
    # 40 draws at 5%: more than 6 would happen less than one time in a hundred.
    assert claims <= 6


def test_a_true_difference_is_found(made, study_of, tmp_path):
    """Ten points on 800 samples with three seeds: found nearly always, and never with the wrong sign."""
    study = study_of(["faces"], ["plain", "better", "alike"], (0, 1, 2))
    found = [
        verdicts(study, made(tmp_path / str(chance), {"plain": 0.7, "better": 0.8, "alike": 0.7}, chance=chance, n=800))
        for chance in range(20)
    ]
    assert sum(item[0] == "better" for item in found) >= 18
    assert not any(item[0] == "worse" for item in found)
    assert sum(item[1] != "not told apart" for item in found) <= 4


@pytest.fixture
def small(made, study_of, tmp_path):
    study = study_of(["faces", "others"], ["plain", "better", "worse"], (0, 1, 2))
    results = made(tmp_path, {"plain": 0.7, "better": 0.9, "worse": 0.5}, data=("faces", "others"))
    return gather(study, results, 20, resamples=200)


def test_means_counts_and_corrected_differences(small):
    first = small.data[0]
    row = first.rows["better"]
    assert row.overall["accuracy"].value == pytest.approx(0.9, abs=0.03)
    assert row.overall["accuracy"].low < row.overall["accuracy"].value < row.overall["accuracy"].high
    assert (first.samples, first.clusters) == (400, 200)
    assert [verdict(item) for item in first.comparisons] == ["better", "worse"]
    family = [item for one in small.data for item in one.comparisons]
    assert len(family) == 4
    # Holm's smallest is multiplied by the number of comparisons of the whole study.
    smallest = min(family, key=lambda item: item.p)
    assert smallest.p_holm == pytest.approx(4 * smallest.p)
    assert "side" in row.gap


def test_page_tables_and_document_say_the_same(small):
    page, tables, figures = render(small), markdown_tables(small), document(small)
    value = f"{100 * small.data[0].rows['better'].overall['accuracy'].value:.1f}%"
    assert value in page
    assert value in tables
    assert json.loads(json.dumps(figures, allow_nan=False))["data"][0]["comparisons"][0]["verdict"] == "better"
    assert "plain baseline" in page
    assert "*plain*" in tables
    assert "18 of 20 runs done" in tables
    for outside in ("http:", "https:", "<script", "src="):
        assert outside not in page.replace("http://www.w3.org", "")


def test_fewer_labels_have_tables_of_their_own_a_curve_and_no_part_in_the_ranks(made, study_of, tmp_path):
    study = study_of(["faces"], ["plain", "better"], (0, 1), label_fractions=[1.0, 0.1])
    made(tmp_path, {"plain": 0.8, "better": 0.9}, seeds=(0, 1))
    results = made(tmp_path, {"plain": 0.5, "better": 0.7}, seeds=(0, 1), fraction=0.1)
    evidence = gather(study, results, 8, resamples=100)
    assert [one.title for one in evidence.data] == ["faces", "faces, 10% of the labels"]
    (panel,) = efficiency_curves(evidence)
    assert panel.alt.startswith("faces: plain from ")
    assert "there are 1 and 2" in evidence.ranks
    assert "With fewer labels" in render(evidence)


def test_damage_and_its_cost_stand_in_page_and_tables(made, study_of, tmp_path):
    results = made(tmp_path, {"plain": 0.8}, seeds=(0, 1))
    for at, (entry, _) in enumerate(results):
        measured = {"value": 0.6 + 0.1 * at, "low": 0.5, "high": 0.8, "n": 400, "clusters": 200, "corruptions": 3}
        entry["tasks"]["face"]["robustness_summary"] = {"mean_under_corruption": measured}
    evidence = gather(study_of(["faces"], ["plain"], (0, 1)), results, 2, resamples=100)
    damaged = evidence.data[0].rows["plain"].damaged
    assert damaged.value == pytest.approx(0.65)
    # Wider than one seed's own interval of 0.15 to either side: the seeds differ too.
    assert damaged.high - damaged.value > 0.15
    assert "65.0%" in render(evidence)
    assert "under damage" in markdown_tables(evidence)


def test_two_sets_of_test_samples_under_one_name_are_refused(made, study_of, tmp_path):
    study = study_of(["faces"], ["plain", "better"], (0,))
    one = made(tmp_path / "a", {"plain": 0.7}, seeds=(0,))
    other = made(tmp_path / "b", {"better": 0.7}, seeds=(0,), n=300)
    with pytest.raises(InputError, match="other samples of 'faces'"):
        gather(study, [*one, *other], 2)


def test_missing_predictions_are_named(made, study_of, tmp_path):
    results = made(tmp_path, {"plain": 0.7}, seeds=(0,))
    (tmp_path / "predictions" / "faces-plain-0.parquet").unlink()
    with pytest.raises(InputError, match="no such file"):
        gather(study_of(["faces"], ["plain"], (0,)), results, 1)
