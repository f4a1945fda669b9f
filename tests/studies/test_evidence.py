"""Made results with a known answer: true differences are found, none are found where there are none."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from auxface.errors import InputError
from auxface.studies.definition import read_plan, read_study
from auxface.studies.evidence import gather
from auxface.studies.figures import efficiency_curves
from auxface.studies.results import merged_results
from auxface.studies.study_report import document, render
from auxface.studies.wording import gap_verdict, markdown_tables, verdict


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


@pytest.fixture
def damaged(made, study_of, tmp_path):
    """The estimate under damage from (value, low, high) per seed; an ordinal task where values exceed 1."""

    def make(*found, clusters=200):
        seeds = tuple(range(len(found)))
        results = made(tmp_path, {"plain": 0.8}, seeds=seeds, ordinal=found[0][0] > 1)
        for (entry, _), (value, low, high) in zip(results, found, strict=True):
            measured = {"value": value, "low": low, "high": high, "n": 400, "clusters": clusters, "corruptions": 3}
            entry["tasks"]["face"]["robustness_summary"] = {"mean_under_corruption": measured}
        metric = "mean_absolute_error" if found[0][0] > 1 else "accuracy"
        study = study_of(["faces"], ["plain"], seeds, compare={"baseline": "plain", "metric": metric})
        return gather(study, results, len(found), resamples=100).data[0].rows["plain"].damaged

    return make


def test_damage_of_three_seeds_has_students_interval(damaged):
    """Where samples add nothing, it is the t-interval of the seeds, with two degrees of freedom."""
    values = (0.60, 0.64, 0.63)
    estimate = damaged(*((value, value, value) for value in values))
    expected = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (estimate.low, estimate.high) == pytest.approx(expected)


def test_damage_of_one_seed_keeps_its_interval_and_says_so(damaged):
    estimate = damaged((0.6, 0.5, 0.7))
    assert (estimate.low, estimate.high) == pytest.approx((0.5, 0.7))
    assert "one seed" in estimate.why


def test_damage_in_years_is_not_cut_at_one(damaged):
    estimate = damaged((6.1, 5.8, 6.4), (6.6, 6.3, 6.9), (6.4, 6.1, 6.7))
    assert 0 < estimate.low < 6.0
    assert estimate.high > 6.7


def test_damage_stays_within_the_bounds_of_its_metric(damaged):
    estimate = damaged((0.95, 0.90, 1.0), (0.80, 0.75, 0.85), (0.99, 0.98, 1.0))
    assert estimate.high == 1


def test_what_a_study_calls_not_tested_gets_no_verdict(made, study_of, tmp_path):
    methods = {"plain": {"recipe": "a"}, "better": {"recipe": "a", "not_tested": {"faces": "It did <nothing>."}}}
    study = study_of(["faces", "others"], ["plain", "better"], (0, 1, 2), methods=methods)
    results = made(tmp_path, {"plain": 0.7, "better": 0.9}, data=("faces", "others"))
    evidence = gather(study, results, 12, resamples=200)
    assert [verdict(item) for one in evidence.data for item in one.comparisons] == ["not tested", "better"]
    assert {gap_verdict(item) for item in evidence.data[0].gap_comparisons} == {"not tested"}
    page, tables, figures = render(evidence), markdown_tables(evidence), document(evidence)
    assert "better against plain is not tested: It did &lt;nothing&gt;." in page
    assert "better against plain is not tested: It did <nothing>." in tables
    assert figures["data"][0]["comparisons"][0]["not_tested"] == "It did <nothing>."
    assert "Better than plain: better" not in figures["conclusions"][0]
    assert "Better than plain: better" in figures["conclusions"][1]


def test_committed_tables_are_what_the_results_give():
    """docs/evidence.md holds the tables that the documented command makes of the committed results."""
    root = Path(__file__).parents[2]
    folder = root / "studies" / "texture_targets_cpu"
    study, planned = read_plan([folder])
    assert study == read_study(folder.with_suffix(".yaml"))
    tables = markdown_tables(gather(study, merged_results([folder]).values(), planned))
    text = (root / "docs" / "evidence.md").read_text(encoding="utf-8")
    missing = [line for line in tables.splitlines() if line.startswith("|") and line not in text]
    assert not missing


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
