"""Simulated results with known accuracies: the analysis finds true differences and no others."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from auxface.errors import InputError
from auxface.evaluation import Predictions, read_predictions, write_predictions
from auxface.studies.analysis import analyze_study
from auxface.studies.conclusions import gap_verdict, markdown_tables, verdict
from auxface.studies.definition import read_plan, read_study
from auxface.studies.effects_figure import effects_figure
from auxface.studies.page_sections import label_fraction_curves
from auxface.studies.results_file import merge_results, predictions_path
from auxface.studies.study_report import json_document, study_page


def verdicts(study, results):
    analysis = analyze_study(study, results, len(results), resamples=200)
    return [verdict(item) for one in analysis.data for item in one.comparisons]


def test_equal_methods_seldom_differ_significantly(made, study_of, tmp_path):
    """Three equal methods: after correction at most one study in twenty may report a difference."""
    study = study_of(["faces"], ["plain", "second", "third"], (0, 1, 2))
    claims = 0
    for chance in range(40):
        found = verdicts(study, made(tmp_path / str(chance), dict.fromkeys(study.methods, 0.7), chance=chance))
        claims += any(item != "no significant difference" for item in found)
    # Of 40 draws at 5%, more than 6 are expected less than once in a hundred times.
    assert claims <= 6


def test_a_true_difference_is_significant(made, study_of, tmp_path):
    """Ten points on 800 samples with three seeds: significant nearly always, and never with the wrong sign."""
    study = study_of(["faces"], ["plain", "better", "equal"], (0, 1, 2))
    found = [
        verdicts(study, made(tmp_path / str(chance), {"plain": 0.7, "better": 0.8, "equal": 0.7}, chance=chance, n=800))
        for chance in range(20)
    ]
    assert sum(item[0] == "better" for item in found) >= 18
    assert not any(item[0] == "worse" for item in found)
    assert sum(item[1] != "no significant difference" for item in found) <= 4


@pytest.fixture
def small(made, study_of, tmp_path):
    study = study_of(["faces", "others"], ["plain", "better", "worse"], (0, 1, 2))
    results = made(tmp_path, {"plain": 0.7, "better": 0.9, "worse": 0.5}, data=("faces", "others"))
    return analyze_study(study, results, 20, resamples=200)


def test_holm_corrects_over_all_comparisons_of_the_study(small):
    first = small.data[0]
    row = first.methods["better"]
    assert row.overall["accuracy"].value == pytest.approx(0.9, abs=0.03)
    assert row.overall["accuracy"].low < row.overall["accuracy"].value < row.overall["accuracy"].high
    assert (first.samples, first.clusters) == (400, 200)
    assert [verdict(item) for item in first.comparisons] == ["better", "worse"]
    family = [item for one in small.data for item in one.comparisons]
    assert len(family) == 4
    # Holm's correction multiplies the smallest p by the number of comparisons of the whole study.
    smallest = min(family, key=lambda item: item.p)
    assert smallest.p_holm == pytest.approx(4 * smallest.p)
    assert "side" in row.gap


def test_page_tables_and_json_have_the_same_figures(small):
    page, tables, figures = study_page(small), markdown_tables(small), json_document(small)
    value = f"{100 * small.data[0].methods['better'].overall['accuracy'].value:.1f}%"
    assert value in page
    assert value in tables
    assert json.loads(json.dumps(figures, allow_nan=False))["data"][0]["comparisons"][0]["verdict"] == "better"
    assert "simple baseline" in page
    assert "*plain*" in tables
    assert "18 of 20 runs done" in tables
    for outside in ("http:", "https:", "<script", "src="):
        assert outside not in page.replace("http://www.w3.org", "")


def test_label_fractions_have_tables_and_a_curve_but_no_ranks(made, study_of, tmp_path):
    study = study_of(["faces"], ["plain", "better"], (0, 1), label_fractions=[1.0, 0.1])
    made(tmp_path, {"plain": 0.8, "better": 0.9}, seeds=(0, 1))
    results = made(tmp_path, {"plain": 0.5, "better": 0.7}, seeds=(0, 1), fraction=0.1)
    analysis = analyze_study(study, results, 8, resamples=100)
    assert [one.title for one in analysis.data] == ["faces", "faces, 10% of the labels"]
    (panel,) = label_fraction_curves(analysis)
    assert panel.alt.startswith("faces: plain from ")
    assert "this study has 1 and 2" in analysis.ranks
    assert "Results with fewer labels" in study_page(analysis)


def test_page_and_tables_show_the_mean_under_corruption(made, study_of, tmp_path):
    results = made(tmp_path, {"plain": 0.8}, seeds=(0, 1))
    for at, (entry, _) in enumerate(results):
        measured = {"value": 0.6 + 0.1 * at, "low": 0.5, "high": 0.8, "n": 400, "clusters": 200, "corruptions": 3}
        entry["tasks"]["face"]["robustness_summary"] = {"mean_under_corruption": measured}
    analysis = analyze_study(study_of(["faces"], ["plain"], (0, 1)), results, 2, resamples=100)
    estimate = analysis.data[0].methods["plain"].under_corruption
    assert estimate.value == pytest.approx(0.65)
    # Wider than one seed's own interval of 0.15 to either side: the seeds differ too.
    assert estimate.high - estimate.value > 0.15
    assert "65.0%" in study_page(analysis)
    assert "under corruption" in markdown_tables(analysis)


@pytest.fixture
def under_corruption(made, study_of, tmp_path):
    """Returns the estimate under corruption from (value, low, high) per seed; ordinal if values exceed 1."""

    def make(*found, clusters=200):
        seeds = tuple(range(len(found)))
        results = made(tmp_path, {"plain": 0.8}, seeds=seeds, ordinal=found[0][0] > 1)
        for (entry, _), (value, low, high) in zip(results, found, strict=True):
            measured = {"value": value, "low": low, "high": high, "n": 400, "clusters": clusters, "corruptions": 3}
            entry["tasks"]["face"]["robustness_summary"] = {"mean_under_corruption": measured}
        metric = "mean_absolute_error" if found[0][0] > 1 else "accuracy"
        study = study_of(["faces"], ["plain"], seeds, compare={"baseline": "plain", "metric": metric})
        return analyze_study(study, results, len(found), resamples=100).data[0].methods["plain"].under_corruption

    return make


def test_under_corruption_three_seeds_get_students_interval(under_corruption):
    """Where samples add nothing, it is the t-interval of the seeds, with two degrees of freedom."""
    values = (0.60, 0.64, 0.63)
    estimate = under_corruption(*((value, value, value) for value in values))
    expected = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (estimate.low, estimate.high) == pytest.approx(expected)


def test_under_corruption_one_seed_keeps_its_interval(under_corruption):
    estimate = under_corruption((0.6, 0.5, 0.7))
    assert (estimate.low, estimate.high) == pytest.approx((0.5, 0.7))
    assert "one seed" in estimate.why


def test_under_corruption_errors_in_years_may_exceed_one(under_corruption):
    estimate = under_corruption((6.1, 5.8, 6.4), (6.6, 6.3, 6.9), (6.4, 6.1, 6.7))
    assert 0 < estimate.low < 6.0
    assert estimate.high > 6.7


def test_under_corruption_interval_stays_within_bounds(under_corruption):
    estimate = under_corruption((0.95, 0.90, 1.0), (0.80, 0.75, 0.85), (0.99, 0.98, 1.0))
    assert estimate.high == 1


def test_a_method_marked_not_tested_gets_no_verdict(made, study_of, tmp_path):
    methods = {"plain": {"recipe": "a"}, "better": {"recipe": "a", "not_tested": {"faces": "It did <nothing>."}}}
    study = study_of(["faces", "others"], ["plain", "better"], (0, 1, 2), methods=methods)
    results = made(tmp_path, {"plain": 0.7, "better": 0.9}, data=("faces", "others"))
    analysis = analyze_study(study, results, 12, resamples=200)
    assert [verdict(item) for one in analysis.data for item in one.comparisons] == ["not tested", "better"]
    assert {gap_verdict(item) for item in analysis.data[0].gap_comparisons} == {"not tested"}
    page, tables, figures = study_page(analysis), markdown_tables(analysis), json_document(analysis)
    assert "The difference between better and plain is not tested: It did &lt;nothing&gt;." in page
    assert "The difference between better and plain is not tested: It did &#60;nothing>." in tables
    assert figures["data"][0]["comparisons"][0]["not_tested"] == "It did <nothing>."
    assert "Significantly better than plain: better" not in figures["conclusions"][0]
    assert "Significantly better than plain: better" in figures["conclusions"][1]


@pytest.mark.parametrize("name", ["first_look", "texture_targets_cpu"])
def test_tables_in_docs_equal_those_of_committed_results(name):
    """docs/evidence.md holds the tables that the documented command makes of the committed results."""
    root = Path(__file__).parents[2]
    folder = root / "studies" / name
    study, planned = read_plan([folder])
    assert study == read_study(folder.with_suffix(".yaml"))
    tables = markdown_tables(analyze_study(study, merge_results([folder]).values(), planned))
    lines = (root / "docs" / "evidence.md").read_text(encoding="utf-8").splitlines()
    missing = [line for line in tables.splitlines() if line.startswith("|") and line not in lines]
    assert not missing


def test_two_sets_of_test_samples_under_one_name_are_refused(made, study_of, tmp_path):
    study = study_of(["faces"], ["plain", "better"], (0,))
    one = made(tmp_path / "a", {"plain": 0.7}, seeds=(0,))
    other = made(tmp_path / "b", {"better": 0.7}, seeds=(0,), n=300)
    with pytest.raises(InputError, match="different test samples of 'faces'"):
        analyze_study(study, [*one, *other], 2)


def test_missing_predictions_are_named(made, study_of, tmp_path):
    results = made(tmp_path, {"plain": 0.7}, seeds=(0,))
    (tmp_path / "predictions" / "faces-plain-0.parquet").unlink()
    with pytest.raises(InputError, match="no such file"):
        analyze_study(study_of(["faces"], ["plain"], (0,)), results, 1)


@pytest.fixture
def with_control(made, study_of, tmp_path):
    """Returns an analysis of a baseline, a method and its control, given the skills of the two auxiliaries."""

    def make(skill: float, control_skill: float):
        methods = {"plain": {"recipe": "a"}, "texture": {"recipe": "a"}}
        methods |= {"shuffled": {"recipe": "a", "control_of": "texture"}}
        study = study_of(["faces"], list(methods), (0, 1, 2), methods=methods)
        results = made(tmp_path, {"plain": 0.6, "texture": 0.85, "shuffled": 0.6}, n=800)
        for entry, _ in results:
            value = {"texture": skill, "shuffled": control_skill}.get(entry["method"])
            if value is not None:
                entry["curve"][-1] |= {"val.reconstruction.skill.bits": value, "reconstruction.gradient_ratio": 1.0}
        return analyze_study(study, results, 9, resamples=200)

    return make


def test_a_method_is_also_compared_with_its_control(with_control):
    analysis = with_control(0.3, 0.0)
    (one,) = analysis.data
    found = {(item.first, item.second): verdict(item) for item in one.comparisons}
    assert found == {
        ("texture", "plain"): "better",
        ("texture", "shuffled"): "better",
        ("shuffled", "plain"): "no significant difference",
    }
    family = [item.p for item in one.comparisons]
    assert min(item.p_holm for item in one.comparisons) == pytest.approx(3 * min(family))
    page, tables = study_page(analysis), markdown_tables(analysis)
    assert "texture is significantly better than its control shuffled" in page
    assert "| texture | 1.00 | – | 0.30 | at least 0.02 | yes |" in tables
    assert "| shuffled | 1.00 | – | 0.00 | at most 0.02 | yes |" in tables
    # The cost table compares with the baseline only.
    assert page.count("1.00 × the baseline") == 2


def test_a_control_that_learned_makes_its_comparisons_not_tested(with_control):
    analysis = with_control(0.3, 0.2)
    found = {(item.first, item.second): (verdict(item), item.p_holm is None) for item in analysis.data[0].comparisons}
    assert found[("texture", "plain")] == ("better", False)
    assert found[("texture", "shuffled")] == ("not tested", True)
    assert found[("shuffled", "plain")] == ("not tested", True)
    # One comparison remains, so its p-value needs no correction.
    (tested,) = [item for item in analysis.data[0].comparisons if not item.not_tested]
    assert tested.p_holm == tested.p


def test_the_first_figure_shows_every_effect_and_none_that_was_not_tested(with_control):
    figure = effects_figure(with_control(0.01, 0.0))
    (panel,) = figure.panels
    by_name = {(row.name, row.minus): row for row in panel.rows}
    assert by_name["texture", "plain"].at is None
    assert "at least 0.02 is required" in by_name["texture", "plain"].why
    row = by_name["shuffled", "plain"]
    assert row.start < row.at < row.start + row.length
    assert row.start < figure.zero < row.start + row.length
    assert row.text.startswith(("+", "−"))
    assert row.verdict == "no significant difference"


def test_one_seed_gets_no_verdict_and_unequal_seeds_no_best_method(made, study_of, tmp_path):
    study = study_of(["faces"], ["plain", "better"], (0, 1))
    results = made(tmp_path, {"plain": 0.6, "better": 0.9}, seeds=(0, 1))
    first = [(entry, folder) for entry, folder in results if entry["seed"] == 0]
    (item,) = analyze_study(study, first, 4, resamples=100).data[0].comparisons
    assert verdict(item) == "one seed"
    assert item.p < 0.05
    uneven = [(entry, folder) for entry, folder in results if entry["method"] == "plain" or entry["seed"] == 0]
    tables = markdown_tables(analyze_study(study, uneven, 4, resamples=100))
    assert "One seed allows no conclusion: better minus plain +" in tables
    assert "no method has the best mean accuracy yet, because other methods have fewer seeds" in tables


def test_an_error_that_falls_is_drawn_to_the_right(made, study_of, tmp_path):
    study = study_of(["faces"], ["plain", "better"], (0, 1), compare={"baseline": "plain", "metric": "brier_score"})
    analysis = analyze_study(study, made(tmp_path, {"plain": 0.5, "better": 0.9}, seeds=(0, 1)), 4, resamples=100)
    assert analysis.data[0].comparisons[0].difference.value < 0
    # The Brier score of several classes has no upper bound of 1, so it is only in the tables.
    assert effects_figure(analysis) is None
    study = study_of(
        ["faces"], ["plain", "better"], (0, 1), compare={"baseline": "plain", "metric": "expected_calibration_error"}
    )
    results = made(tmp_path, {"plain": 0.5, "better": 0.79}, seeds=(0, 1))
    ((row,),) = (panel.rows for panel in effects_figure(analyze_study(study, results, 4)).panels)
    assert row.text.startswith("+")


def test_learning_curves_show_the_metric_and_not_the_skill(with_control):
    """The log of a joint run contains the skill of its auxiliary before the validation metric."""
    analysis = with_control(0.3, 0.0)
    for method in analysis.data[0].methods.values():
        for entry in method.records.values():
            entry["curve"] = [{"epoch": 1, "val.reconstruction.skill.bits": 0.3, **entry["curve"][0]}]
    assert "faces: balanced accuracy on the validation split" in study_page(analysis)
    assert "skill.bits on the validation split" not in study_page(analysis)


def test_data_sets_may_have_different_metrics_and_several_tasks(made, study_of, tmp_path):
    study = study_of(["faces", "others"], ["plain", "better"], (0, 1, 2))
    data = [study.data[0], study.data[1].model_copy(update={"metric": "macro_f1"})]
    study = study.model_copy(update={"data": tuple(data)})
    results = made(tmp_path, {"plain": 0.6, "better": 0.9}, data=("faces", "others"))
    for entry, folder in results:
        table = read_predictions(predictions_path(folder, entry["key"]))
        columns = {name: name.replace(".face", ".mood") for name in table.frame if ".face" in name}
        frame = table.frame.assign(**{new: table.frame[old] for old, new in columns.items()})
        both = Predictions(frame, (*table.tasks, replace(table.tasks[0], name="mood")))
        entry["tasks"]["mood"] = entry["tasks"]["face"]
        write_predictions(both, predictions_path(folder, entry["key"]))
    analysis = analyze_study(study, results, 12, resamples=100)
    titles = ["faces: face", "faces: mood", "others: face", "others: mood"]
    assert [one.title for one in analysis.data] == titles
    assert [one.comparisons[0].metric for one in analysis.data] == ["accuracy"] * 2 + ["macro_f1"] * 2
    # All four comparisons are one family, although they have two metrics.
    family = [item for one in analysis.data for item in one.comparisons]
    smallest = min(family, key=lambda item: item.p)
    assert smallest.p_holm == pytest.approx(4 * smallest.p)
    assert all(f">{title}</h2>" in study_page(analysis) for title in titles)
