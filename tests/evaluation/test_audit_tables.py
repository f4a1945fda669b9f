"""The audit of tables: splitting and merging, videos, corruptions, the matrix, comparisons of models."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_tables import emotion_samples, emotion_scores, forged_predictions
from sklearn.metrics import roc_auc_score

from auxface.evaluation import (
    Predictions,
    ScoredTask,
    TableError,
    audit_tables,
    cross_dataset,
    join_conditions,
    merge_predictions,
    split_conditions,
)
from auxface.evaluation.clusters import cluster_codes
from auxface.evaluation.compare import same_task
from auxface.evaluation.metrics import ranking


def numbers(entry, path=()):
    """Every number of a report by its path."""
    if isinstance(entry, dict):
        for name, value in entry.items():
            yield from numbers(value, (*path, name))
    elif isinstance(entry, list):
        for place, value in enumerate(entry):
            yield from numbers(value, (*path, place))
    elif isinstance(entry, int | float):
        yield path, float(entry)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_splitting_and_merging_a_table_changes_nothing(seed):
    table = forged_predictions(n=500, videos=60)
    table.frame.loc[::7, "group.race"] = None
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(table.frame))
    cuts = np.sort(generator.integers(0, len(order), 3))
    parts = [
        Predictions(table.frame.iloc[rows], table.tasks, {"no_face": 1}, table.provenance)
        for rows in np.split(order, cuts)
    ]
    merged = merge_predictions(parts)
    assert merged.left_out == {"no_face": 4}
    merged.left_out = table.left_out
    one, other = (dict(numbers(audit_tables({"m": t}, resamples=50).to_dict())) for t in (table, merged))
    assert one.keys() == other.keys()
    for path, value in one.items():
        assert other[path] == pytest.approx(value, abs=1e-9), path


def test_only_intervals_depend_on_the_seed():
    table = forged_predictions(n=300, videos=40)
    first, again, other = (audit_tables({"m": table}, resamples=50, seed=s).to_dict() for s in (0, 0, 1))
    assert first == again
    assert first["tasks"]["forged"]["overall"]["auc"]["low"] != other["tasks"]["forged"]["overall"]["auc"]["low"]
    assert first["tasks"]["forged"]["overall"]["auc"]["value"] == other["tasks"]["forged"]["overall"]["auc"]["value"]


def test_equal_video_names_of_two_methods_stay_two_videos():
    table = forged_predictions(n=2000, videos=100)  # each video name occurs as original and as swap
    videos = audit_tables({"m": table}, resamples=50).models["m"].tasks["forged"].videos
    frame = table.frame
    by_video = frame.groupby(["dataset", "method", "source", "video"])[["true.forged", "score.forged.forged"]].mean()
    assert videos.overall["auc"].n == len(by_video) == 100
    assert frame["video"].nunique() == 50
    expected = roc_auc_score(by_video["true.forged"], by_video["score.forged.forged"])
    assert videos.overall["auc"].value == pytest.approx(expected)


def test_a_truth_that_changes_within_a_video_has_no_video_level():
    table = forged_predictions(n=400, videos=20)
    table.frame.loc[0, "true.forged"] = 1 - table.frame.loc[0, "true.forged"]
    assert audit_tables({"m": table}, resamples=50).models["m"].tasks["forged"].videos is None


def test_clusters_are_videos_else_sources_else_rows():
    frame = forged_predictions(n=200, videos=20).frame
    (codes,), kinds = cluster_codes([frame])
    assert kinds == ("video",)
    assert len(np.unique(codes)) == frame.groupby(["method", "source", "video"]).ngroups
    frame["video"] = ""
    (codes,), kinds = cluster_codes([frame])
    assert kinds == ("source",)
    assert len(np.unique(codes)) == frame["source"].nunique()
    (codes,), kinds = cluster_codes([frame.drop(columns=["source"])])
    assert kinds == ("row",)
    assert len(np.unique(codes)) == 200


def corrupted(samples, skill, seed):
    return {
        name: {severity: emotion_scores(samples, skill - drop * severity, seed) for severity in (1, 2, 3)}
        for name, drop in (("fog", 0.2), ("snow", 0.4), ("h264", 0.1))
    }


def test_mean_corruption_error_follows_its_definition():
    samples = emotion_samples(400, 80)
    tables = {"base": emotion_scores(samples, 1.5, 1), "ours": emotion_scores(samples, 2.5, 2)}
    robustness = {"base": corrupted(samples, 1.5, 1), "ours": corrupted(samples, 2.5, 2)}
    found = audit_tables(tables, robustness=robustness, baseline="base", resamples=50)
    ours, base = (found.models[name].tasks["emotion"] for name in ("ours", "base"))

    def error(model, corruption):
        return sum(1 - model.robustness[corruption][severity]["accuracy"].value for severity in (1, 2, 3))

    expected = np.mean([error(ours, name) / error(base, name) for name in ("fog", "snow")])
    assert ours.robustness_summary["mean_corruption_error"].value == pytest.approx(expected)
    assert ours.robustness_summary["mean_corruption_error"].more["corruptions"] == 2
    assert base.robustness_summary["mean_corruption_error"].value == pytest.approx(1)
    added = [
        (error(ours, name) - 3 * (1 - ours.overall["accuracy"].value))
        / (error(base, name) - 3 * (1 - base.overall["accuracy"].value))
        for name in ("fog", "snow")
    ]
    relative = ours.robustness_summary["relative_mean_corruption_error"].value
    assert relative == pytest.approx(np.mean(added))


def test_corrupted_groups_equal_an_audit_of_that_table_alone():
    samples = emotion_samples(400, 80)
    table, curves = emotion_scores(samples, 2.0, 1), corrupted(samples, 2.0, 1)
    found = audit_tables({"m": table}, robustness={"m": curves}, resamples=50).models["m"].tasks["emotion"]
    alone = audit_tables({"m": curves["snow"][3]}, resamples=50).models["m"].tasks["emotion"]
    there = found.robustness_groups["snow"][3]
    ends = [{name: (gap.value, gap.low) for name, gap in one.gaps["age_group"].items()} for one in (there, alone)]
    assert ends[0] == ends[1]
    assert there.groups["age_group"] == alone.groups["age_group"]
    assert found.robustness["snow"][3] == alone.overall


def test_corrupted_groups_of_attributes_have_no_ranking():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"source": [str(number) for number in range(300)], "group.age": ["old", "young"] * 150})
    for name in ("Smiling", "Young"):
        frame[f"true.a.{name}"] = rng.integers(0, 2, 300)
        frame[f"score.a.{name}"] = np.clip(0.3 * frame[f"true.a.{name}"] + rng.uniform(0, 0.7, 300), 0, 1)
    table = Predictions(frame, (ScoredTask("a", "multilabel", ("Smiling", "Young"), {"Smiling": 0.5, "Young": 0.5}),))
    found = audit_tables({"m": table}, robustness={"m": {"fog": {1: table}}}, resamples=50).models["m"].tasks["a"]
    corrupted = found.robustness_groups["fog"][1].groups["age"]
    assert found.robustness["fog"][1] == found.overall
    for level in ("old", "young"):
        assert corrupted[level]["balanced_accuracy"] == found.groups["age"][level]["balanced_accuracy"]
        assert "average_precision" not in corrupted[level]


def test_results_do_not_depend_on_the_number_of_workers():
    samples = emotion_samples(120)
    tables = {name: emotion_scores(samples, skill, 1) for name, skill in (("base", 1.5), ("ours", 2.0))}
    robustness = {name: corrupted(samples, 1.0, seed) for seed, name in enumerate(tables)}
    done: list[tuple[int, int]] = []
    one, *others = (
        json.dumps(
            audit_tables(
                tables,
                robustness=robustness,
                baseline="base",
                resamples=40,
                workers=workers,
                progress=lambda *step: done.append(step),
            ).to_dict()
        )
        for workers in (1, 2, 5)
    )
    assert all(other == one for other in others)
    assert [step[0] for step in done] == 3 * list(range(1, done[-1][1] + 1))


def test_a_fault_in_a_worker_ends_the_audit(monkeypatch):
    table = emotion_scores(emotion_samples(60), 2.0, 1)

    def fail(*_):
        raise TableError("no such samples")

    monkeypatch.setattr(sys.modules[audit_tables.__module__], "measure_corrupted", fail)
    with pytest.raises(TableError, match="no such samples"):
        audit_tables({"m": table}, robustness={"m": {"fog": {1: table}}}, resamples=20, workers=2)


def test_grouped_scores_keep_the_intervals_of_ranking(monkeypatch):
    """Long tables group their scores; every interval must stay within a fiftieth of its width."""
    generator = np.random.default_rng(3)
    true = generator.integers(0, 2, 12_000)
    frame = pd.DataFrame({"true.t": true, "score.t.yes": 1 / (1 + np.exp(-generator.normal(1.5 * true)))})
    frame["video"] = [f"v{number}" for number in generator.integers(0, 900, len(frame))]
    table = Predictions(frame, (ScoredTask("t", "binary", ("no", "yes"), {"yes": 0.5}),))

    def measured():
        return audit_tables({"m": table}, resamples=100).models["m"].tasks["t"].overall

    grouped = measured()
    monkeypatch.setattr(ranking, "STEPS", len(frame))
    exact = measured()
    assert grouped["auc"].low != exact["auc"].low
    for name in ("auc", "average_precision", "equal_error_rate", "tpr_at_fpr_0.01"):
        one, other = grouped[name], exact[name]
        assert one.value == other.value
        allowed = (other.high - other.low) / 50
        assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=allowed), name


def test_joined_conditions_split_into_the_same_tables():
    samples = emotion_samples(60, 10)
    curves = corrupted(samples, 2.0, 1) | {"codec": {"c23": emotion_scores(samples, 1.0, 4)}}
    back = split_conditions(join_conditions(curves))
    assert {name: list(steps) for name, steps in back.items()} == {name: list(steps) for name, steps in curves.items()}
    assert back["codec"]["c23"].frame["true.emotion"].tolist() == samples["true.emotion"].tolist()


def test_a_matrix_cell_equals_an_audit_of_that_table():
    parts = {(train, test): forged_predictions(n=600, videos=60, seed=seed) for seed, (train, test) in
             enumerate([("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")])}  # fmt: skip
    found = audit_tables(cross_dataset(parts), resamples=50)
    for (train, test), table in parts.items():
        value = found.models[train].tasks["forged"].datasets[test]["auc"].value
        expected = roc_auc_score(table.frame["true.forged"], table.frame["score.forged.forged"])
        assert value == pytest.approx(expected)
    assert found.models["a"].provenance["trained_on"] == "a"


def test_paired_intervals_are_narrower_than_separate_ones():
    one = forged_predictions(n=4000, videos=120)
    other = Predictions(one.frame.copy(), one.tasks)
    true, score = one.frame["true.forged"], one.frame["score.forged.forged"]
    other.frame["score.forged.forged"] = np.clip(score - 0.01 * true, 0, 1)
    found = audit_tables({"one": one, "other": other}, resamples=300)
    first, second = (found.models[name].tasks["forged"].overall["auc"] for name in ("one", "other"))
    (item,) = [c for c in found.comparisons if c.metric == "auc" and not c.group]
    assert first.low < second.value < first.high
    assert item.difference.low > 0
    assert item.difference.value == pytest.approx(first.value - second.value)
    assert item.p_holm < 0.05


def test_models_are_compared_on_the_samples_that_both_scored():
    one = forged_predictions(n=400, videos=60)
    other = Predictions(one.frame.copy(), one.tasks)
    other.frame.loc[:99, "score.forged.forged"] = np.nan
    found = audit_tables({"one": one, "other": other}, resamples=50)
    for item in found.comparisons:
        assert item.difference.value in (None, 0.0)
        assert item.p in (None, 1.0)
    assert "one and other are compared on the 300 samples of forged that both scored." in found.notes


def test_order_of_classes_matters_only_for_two_classes():
    one = emotion_scores(emotion_samples(), 1.0, 0)
    task = one.tasks[0]
    turned = Predictions(one.frame, (replace(task, classes=tuple(reversed(task.classes))),))
    found = audit_tables({"one": one, "turned": turned}, resamples=50).comparisons
    assert {item.metric for item in found} >= {"accuracy", "balanced_accuracy", "macro_f1"}
    assert all(item.difference.value == 0 for item in found if not item.group)
    assert not same_task(ScoredTask("t", "class", ("a", "b")), ScoredTask("t", "class", ("b", "a")))


def test_gaps_of_two_models_are_compared_by_group():
    one, other = forged_predictions(n=2000), forged_predictions(n=2000, skill=2.0)
    found = audit_tables({"one": one, "other": other}, resamples=100)
    items = [c for c in found.comparisons if (c.metric, c.group) == ("balanced_accuracy_difference", "race")]
    one, other = (found.models[name].tasks["forged"].groups["race"] for name in ("one", "other"))
    largest = max(one, key=lambda level: one[level]["accuracy"].n)
    assert {item.level for item in items} == set(one) - {largest}
    for item in items:
        ahead = {name: one[name]["balanced_accuracy"].value - other[name]["balanced_accuracy"].value for name in one}
        assert item.reference == largest
        assert item.difference.value == pytest.approx(ahead[item.level] - ahead[largest])


def test_levels_count_the_same_by_frame_and_by_video():
    """Fifteen videos of Black people, of 20 frames each or of one: the level is treated equally."""
    table = forged_predictions(n=4000)
    found = audit_tables({"m": table}, resamples=100).models["m"].tasks["forged"]
    frames, videos = (one.groups["race"] for one in (found, found.videos))
    for level, by_frame in frames.items():
        assert by_frame["accuracy"].clusters == videos[level]["accuracy"].n == videos[level]["accuracy"].clusters
        assert (by_frame["accuracy"].why is None) == (videos[level]["accuracy"].why is None)


def test_few_clusters_widen_intervals_and_leave_gaps():
    table = forged_predictions(n=4000, videos=400)
    few = table.frame["source"].isin(sorted(table.frame["source"].unique())[:4])
    table.frame["group.race"] = np.where(few, "Few", table.frame["group.race"])
    found = audit_tables({"m": table}, resamples=100).models["m"].tasks["forged"]
    own = found.groups["race"]["Few"]
    assert own["true_positive_rate"].clusters < 10
    widths = {
        level: row["true_positive_rate"].high - row["true_positive_rate"].low
        for level, row in found.groups["race"].items()
    }
    assert widths["Few"] == max(widths.values()) > 0.4
    assert "Few" not in str(found.gaps["race"]["balanced_accuracy_difference"].more)
    assert "4 of 5 levels" not in str(found.gaps["race"])


def test_many_groups_of_noise_need_a_larger_gap():
    table = forged_predictions(n=1000, videos=1000)
    generator = np.random.default_rng(1)
    for place in range(12):
        table.frame[f"group.noise{place}"] = generator.choice(["a", "b"], 1000)
    found = audit_tables({"m": table}, resamples=200).models["m"].tasks["forged"]
    gaps = [found.gaps[name]["balanced_accuracy_difference"] for name in found.gaps if "×" not in name]
    factors = {round(gap.more["by_chance_of_all"] / gap.more["by_chance"], 6) for gap in gaps}
    (factor,) = factors
    # The largest of 14 independent standard normal deviates exceeds 2.91 once in twenty, a single one 1.96.
    assert factor == pytest.approx(2.91 / 1.96, rel=0.15)
    assert {gap.more["gaps"] for gap in gaps} == {14}


def test_validation_chooses_thresholds_and_operating_points():
    table, validation = forged_predictions(n=3000), forged_predictions(n=3000, seed=7)
    bare = Predictions(table.frame, (type(table.tasks[0])("forged", "binary", ("real", "forged")),))
    found = audit_tables({"m": bare}, validation={"m": validation}, resamples=50).models["m"].tasks["forged"]
    assert found.task.threshold_rule == "balanced_accuracy on the validation table"
    point = found.operating_points["fpr=0.01"]
    true, score = validation.frame["true.forged"], validation.frame["score.forged.forged"]
    assert (score[true == 0] >= point.threshold).mean() <= 0.01
    predicted = table.frame["score.forged.forged"] >= point.threshold
    rate = predicted[table.frame["true.forged"] == 0].mean()
    assert point.rates["false_positive_rate"].value == pytest.approx(rate)
    assert found.temperature > 0
    assert "fpr=0.001" in found.operating_points


def test_names_of_models_that_do_not_exist_are_refused():
    table = forged_predictions(n=100)
    with pytest.raises(TableError, match="baseline: no model is called 'x'"):
        audit_tables({"m": table}, baseline="x")
    with pytest.raises(TableError, match="no table was given"):
        audit_tables({})


def test_evaluation_imports_only_light_modules():
    code = (
        "import sys, auxface.evaluation\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'torch', 'timm', 'torchvision', 'pydantic', 'typer', 'matplotlib'}, loaded\n"
        "own = {'.'.join(name.split('.')[:2]) for name in sys.modules if name.startswith('auxface.')}\n"
        "assert own == {'auxface.errors', 'auxface.evaluation', 'auxface.plugins', 'auxface.task'}, own\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_audit_does_not_import_torch(tmp_path):
    forged_predictions(n=200, videos=40).frame.to_csv(tmp_path / "m.csv", index=False)
    code = "import sys, auxface; auxface.audit(*sys.argv[1:], resamples=20); assert 'torch' not in sys.modules"
    arguments = [sys.executable, "-c", code, str(tmp_path / "m.csv"), str(tmp_path / "report")]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_report_is_json_in_the_documented_form():
    report = audit_tables({"m": forged_predictions(n=300)}, resamples=50).to_dict()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert {"tasks", "left_out", "provenance"} <= report.keys()
    task = report["tasks"]["forged"]
    assert {"overall", "groups", "gaps", "robustness"} <= task.keys()
    assert {"value", "low", "high", "n"} <= task["overall"]["auc"].keys()
    assert task["groups"]["race"]["Black"]["accuracy"]["n"] > 0
    missing = task["overall"]["tpr_at_fpr_0.001"]
    assert missing.keys() == {"why"}
    assert "1,000 are needed" in missing["why"]


def test_a_level_that_cannot_be_measured_is_one_why():
    table = forged_predictions(n=600)
    table.frame.loc[:1, "group.race"] = "Few"
    levels = audit_tables({"m": table}, resamples=50).to_dict()["tasks"]["forged"]["groups"]["race"]
    assert levels["Few"] == {"why": "only 2 clusters, fewer than 3"}
    assert levels["Black"]["accuracy"]["n"] > 0


def test_levels_are_compared_with_the_reference_level():
    table = forged_predictions(n=2000)
    found = audit_tables({"m": table}, references={"race": "White"}, resamples=200).models["m"].tasks["forged"]
    levels, gaps = found.groups["race"], found.to_reference["race"]
    assert set(gaps) == set(levels) - {"White"}
    for level, gap in gaps.items():
        value = levels[level]["balanced_accuracy"].value - levels["White"]["balanced_accuracy"].value
        assert gap.value == pytest.approx(value)
        assert gap.low < gap.value < gap.high
        assert gap.more == {"reference": "White"}
    for references in ({"race": "Martian"}, {"planet": "Mars"}):
        with pytest.raises(TableError, match="--reference"):
            audit_tables({"m": table}, references=references)


def test_a_reference_that_is_too_small_is_the_reason():
    table = forged_predictions(n=2000)
    few = table.frame["video"].isin(table.frame["video"].drop_duplicates()[:8])
    table.frame.loc[few, "group.race"] = "Few"
    found = audit_tables({"m": table}, references={"race": "Few"}, resamples=100).models["m"].tasks["forged"]
    for gap in found.to_reference["race"].values():
        assert gap.value is None
        assert gap.why.startswith("Few: ")
        assert gap.why.endswith("a difference needs 10")


def class_levels(skill, seed):
    """Return emotions with the groups "same" (the true class) and "coarse" (a level of several classes)."""
    table = emotion_scores(emotion_samples(n=800), skill, seed)
    true = table.frame["true.emotion"]
    table.frame["group.same"], table.frame["group.coarse"] = true, true.isin(["fear", "anger"]).map(str)
    return table


def test_levels_that_are_classes_have_no_gap():
    found = audit_tables({"a": class_levels(2.0, 1), "b": class_levels(2.5, 2)}, resamples=100)
    gaps = found.models["a"].tasks["emotion"].gaps
    assert {gap.why for gap in gaps["same"].values()} == {
        "each level has only one class, so a gap would compare classes"
    }
    assert gaps["coarse"]["accuracy_difference"].value is not None
    groups = {item.group for item in found.comparisons if item.difference.value is not None}
    assert "same" not in groups
    assert "coarse" in groups
    assert not found.models["a"].tasks["emotion"].to_reference["same"]


def test_rates_within_one_class_keep_their_gaps():
    table = forged_predictions(n=3000)
    half = table.frame["video"].str[-1].isin(list("01234"))
    table.frame["group.method"] = table.frame["method"].where(table.frame["true.forged"] == 0, half.map(str))
    gaps = audit_tables({"m": table}, resamples=100).models["m"].tasks["forged"].gaps["method"]
    assert gaps["equal_opportunity_difference"].value is not None
    for name in ("accuracy_difference", "demographic_parity_difference", "F_OAE", "worst_group_accuracy"):
        assert gaps[name].why == "each level has only one class, so a gap would compare classes"
    assert gaps["F_FPR"].why == "1 of 3 levels has 10 clusters with negative samples; a gap needs 2"
