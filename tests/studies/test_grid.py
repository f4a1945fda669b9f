"""From a study to its runs, and the order in which they come."""

from pathlib import Path

import pandas as pd
import pytest

from auxface.data.manifest import Label, Manifest
from auxface.errors import InputError
from auxface.studies.definition import Study, read_study
from auxface.studies.grid import chosen, rows_hash, runs_of
from auxface.studies.study import Waiting, expected_seconds, next_run, seconds_of

STUDIES = Path(__file__).resolve().parents[2] / "studies"
RAW = {
    "name": "small",
    "about": "A question.",
    "data": [
        {"name": "faces", "manifest": "faces.parquet", "task": "gender"},
        {"name": "moods", "manifest": "moods.parquet", "task": "emotion", "settings": {"train.epochs": 7}},
    ],
    "methods": {
        "l_ssat": {
            "recipe": "l_ssat",
            "vary": {
                "auxiliary.target.name": ["local_binary_pattern", "histogram_of_oriented_gradients"],
                "auxiliary.target.encoding": ["scalar", "bits"],
            },
            "skip": [{"auxiliary.target.name": "histogram_of_oriented_gradients", "auxiliary.target.encoding": "bits"}],
        },
        "supervised": {"recipe": "supervised"},
    },
    "settings": {"train.epochs": 5, "auxiliary.mask_ratio": 0.6, "primary_weight": 0.3},
    "label_fractions": [0.1, 1.0],
    "seeds": [3, 1],
    "compare": {"baseline": "supervised"},
}


def runs(**change):
    return runs_of(Study.model_validate(RAW | change), Path())


def test_the_grid_without_what_is_skipped():
    found = runs()
    assert len(found) == 2 * 2 * 2 * 4
    assert {run.row for run in found} == {
        "supervised",
        "l_ssat (local_binary_pattern, scalar)",
        "l_ssat (local_binary_pattern, bits)",
        "l_ssat (histogram_of_oriented_gradients, scalar)",
    }


def test_one_seed_of_everything_comes_first_and_whole_labels_before_few():
    found = runs()
    assert [run.recipe.seed for run in found] == [3] * 16 + [1] * 16
    assert [run.label_fraction for run in found[:16]] == [1.0] * 8 + [0.1] * 8
    assert found[0].row == "supervised"


def test_settings_reach_every_method_and_those_of_the_auxiliary_only_who_has_one():
    for run in runs():
        assert run.recipe.train.epochs == (7 if run.data.name == "moods" else 5)
        assert list(run.recipe.tasks) == [run.data.task]
        if run.method == "supervised":
            assert run.recipe.auxiliary is None
            assert run.recipe.primary_weight == 1
        else:
            assert run.recipe.auxiliary.mask_ratio == 0.6
            assert run.recipe.primary_weight == 0.3


def test_what_varies_for_all_is_part_of_the_row_and_of_the_comparison():
    found = runs(vary={"encoder.drop_path": [0.0, 0.1]}, label_fractions=[1.0])
    assert {run.row for run in found if run.method == "supervised"} == {"supervised at 0.0", "supervised at 0.1"}
    assert {run.recipe.encoder.drop_path for run in found} == {0.0, 0.1}


def test_two_names_for_one_recipe_are_refused():
    with pytest.raises(InputError, match="one and the same recipe"):
        runs(methods={"supervised": {"recipe": "supervised"}, "again": {"recipe": "supervised"}})


def test_a_baseline_that_is_no_method_is_named_with_the_nearest():
    with pytest.raises(InputError, match=r"'supervisd' is no method \(did you mean 'supervised'"):
        runs(compare={"baseline": "supervisd"})


def test_a_group_of_the_data_stands_for_its_name():
    reweighted = {"recipe": "supervised", "settings": {"train.reweight_group": True, "train.group": "$group"}}
    methods = {"supervised": {"recipe": "supervised"}, "reweighted": reweighted}
    data = [{**RAW["data"][0], "group": "race"}]
    assert [run.recipe.train.group for run in runs(methods=methods, data=data, seeds=[0])][:2] == [None, "race"]
    with pytest.raises(InputError, match="has no group"):
        runs(methods=methods)


def test_where_keeps_what_agrees():
    found = runs()
    assert {run.data.task for run in chosen(found, ["task=emotion", "seed=1"])} == {"emotion"}
    assert len(chosen(found, ["auxiliary.target.encoding=bits"])) == 8
    for item, sentence in (
        ("task", "key=value"),
        ("tsk=emotion", "did you mean 'task'"),
        ("task=emotoin", "did you mean 'emotion'"),
    ):
        with pytest.raises(InputError, match=sentence):
            chosen(found, [item])


def test_a_key_is_of_recipe_rows_and_damages():
    found = runs()
    assert len({run.key("rows") for run in found}) == 16  # label fractions differ by their rows
    assert found[0].key("rows") == runs()[0].key("rows")
    assert found[0].key("rows") != found[0].key("other rows")
    assert found[0].key("rows") != runs(corruptions=["fog"])[0].key("rows")


def test_rows_hash_is_the_same_wherever_the_images_are():
    table = pd.DataFrame({"path": ["a/1.png", "a/2.png"], "split": ["train", "test"], "mood": ["x", "y"]})
    manifest = Manifest(table, {"mood": Label("class", ("x", "y"))})
    moved = Manifest(table.assign(path=["/else/1.png", "/else/2.png"]), manifest.labels)
    changed = Manifest(table.assign(mood=["y", "y"]), manifest.labels)
    assert rows_hash(manifest) == rows_hash(moved) != rows_hash(changed)


@pytest.mark.parametrize(("text", "seconds"), [("25m", 1500), ("1h30m", 5400), ("90s", 90), ("0.5h", 1800)])
def test_budgets(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "25", "m", "25 minutes", "1m30"])
def test_budgets_that_are_none(text):
    with pytest.raises(InputError, match="--budget"):
        seconds_of(text)


def done(run, seconds, machine="here"):
    return {"status": "done", "machine": machine, "row": run.row, "data": run.data.name, "wall_seconds": seconds}


def test_a_run_is_expected_to_take_what_its_like_took_here():
    first, second = runs()[0], runs()[1]
    lines = [done(first, 10), done(first, 20), done(first, 30), done(first, 999, "elsewhere")]
    assert expected_seconds(Waiting(first, "k"), lines, "here") == 20
    assert expected_seconds(Waiting(first, "k", left=0.5), lines, "here") == 10
    assert expected_seconds(Waiting(second, "k"), lines, "here") == 30
    assert expected_seconds(Waiting(first, "k"), lines, "nowhere") is None


def test_what_does_not_fit_makes_room_for_what_does_and_what_was_begun_comes_first():
    small, large = runs()[0], runs()[1]
    lines = {"a": done(small, 10), "b": done(large, 100)}
    waiting = [Waiting(large, "large"), Waiting(small, "small")]
    assert next_run(waiting, lines, "here", None).key == "large"
    assert next_run(waiting, lines, "here", 50).key == "small"
    assert next_run(waiting, lines, "here", 5) is None
    # What no such budget would hold whole is begun, and gone on with next time.
    assert next_run(waiting, lines, "here", 50, budget=60).key == "large"
    assert next_run(waiting, lines, "here", 5, budget=200) is None
    begun = [*waiting, Waiting(small, "begun", left=0.4)]
    assert next_run(begun, lines, "here", 50).key == "begun"


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_that_comes_with_auxface_can_be_planned(path):
    study = read_study(path)
    assert study.name == path.stem
    found = runs_of(study, path.parent)
    assert len({(run.data.name, run.row, run.label_fraction, run.recipe.seed) for run in found}) == len(found)
