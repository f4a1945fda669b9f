"""The runs of a study and their order."""

from pathlib import Path

import pandas as pd
import pytest

from auxface.data.manifest import Label, Manifest
from auxface.errors import InputError
from auxface.studies.definition import Study, read_study
from auxface.studies.grid import hash_rows, plan_runs, select_runs

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
    "settings": {"train.epochs": 5, "auxiliary.mask_ratio": 0.6, "balance": 0.3},
    "label_fractions": [0.1, 1.0],
    "seeds": [3, 1],
    "compare": {"baseline": "supervised"},
}


def runs(**change):
    return plan_runs(Study.model_validate(RAW | change), Path())


def test_skipped_combinations_are_excluded():
    found = runs()
    assert len(found) == 2 * 2 * 2 * 4
    assert {run.row for run in found} == {
        "supervised",
        "l_ssat (local_binary_pattern, scalar)",
        "l_ssat (local_binary_pattern, bits)",
        "l_ssat (histogram_of_oriented_gradients, scalar)",
    }


def test_runs_go_by_seed_then_label_fraction_then_baseline():
    found = runs()
    assert [run.recipe.seed for run in found] == [3] * 16 + [1] * 16
    assert [run.label_fraction for run in found[:16]] == [1.0] * 8 + [0.1] * 8
    assert found[0].row == "supervised"


def test_auxiliary_settings_apply_to_methods_that_have_one():
    for run in runs():
        assert run.recipe.train.epochs == (7 if run.data.name == "moods" else 5)
        assert list(run.recipe.tasks) == list(run.data.tasks)
        if run.method == "supervised":
            assert run.recipe.auxiliary is None
            assert run.recipe.primary_weight == 1
        else:
            assert run.recipe.auxiliary.mask_ratio == 0.6
            assert run.recipe.primary_weight == 0.3


def test_half_of_a_batch_is_labeled_where_labels_are_missing():
    others = [{**RAW["data"][0], "unlabeled": ["more.parquet"]}, RAW["data"][1]]
    for run in runs(labeled_per_batch=0.5, data=others):
        has_unlabeled = run.label_fraction < 1 or run.data.name == "faces"
        assert run.recipe.train.labeled_per_batch == (0.5 if has_unlabeled else None)
    assert all(run.recipe.train.labeled_per_batch is None for run in runs())


def test_values_varied_for_all_methods_name_the_row():
    found = runs(vary={"encoder.drop_path": [0.0, 0.1]}, label_fractions=[1.0])
    assert {run.row for run in found if run.method == "supervised"} == {"supervised at 0.0", "supervised at 0.1"}
    assert {run.recipe.encoder.drop_path for run in found} == {0.0, 0.1}


def test_two_methods_with_one_recipe_are_refused():
    with pytest.raises(InputError, match="have the same recipe"):
        runs(methods={"supervised": {"recipe": "supervised"}, "again": {"recipe": "supervised"}})


def test_an_unknown_baseline_is_reported_with_the_nearest():
    with pytest.raises(InputError, match=r"'supervisd' is not a method \(did you mean 'supervised'"):
        runs(compare={"baseline": "supervisd"})


def test_group_placeholder_becomes_the_group_column():
    reweighted = {"recipe": "supervised", "settings": {"train.reweight_group": True, "train.group": "$group"}}
    methods = {"supervised": {"recipe": "supervised"}, "reweighted": reweighted}
    data = [{**RAW["data"][0], "group": "race"}]
    assert [run.recipe.train.group for run in runs(methods=methods, data=data, seeds=[0])][:2] == [None, "race"]
    with pytest.raises(InputError, match="has no group"):
        runs(methods=methods)


def test_where_selects_matching_runs():
    found = runs()
    assert {run.data.task for run in select_runs(found, ["task=emotion", "seed=1"])} == {"emotion"}
    assert len(select_runs(found, ["auxiliary.target.encoding=bits"])) == 8
    for item, sentence in (
        ("task", "key=value"),
        ("tsk=emotion", "did you mean 'task'"),
        ("task=emotoin", "did you mean 'emotion'"),
    ):
        with pytest.raises(InputError, match=sentence):
            select_runs(found, [item])


def test_run_keys_depend_on_recipe_rows_and_corruptions():
    found = runs()
    assert len({run.key("rows") for run in found}) == 16  # label fractions differ in the hash of their rows
    assert found[0].key("rows") == runs()[0].key("rows")
    assert found[0].key("rows") != found[0].key("other rows")
    assert found[0].key("rows") != runs(corruptions=["fog"])[0].key("rows")


def test_the_hash_of_rows_ignores_the_folder_of_images():
    table = pd.DataFrame({"path": ["a/1.png", "a/2.png"], "split": ["train", "test"], "mood": ["x", "y"]})
    manifest = Manifest(table, {"mood": Label("class", ("x", "y"))})
    moved = Manifest(table.assign(path=["/else/1.png", "/else/2.png"]), manifest.labels)
    changed = Manifest(table.assign(mood=["y", "y"]), manifest.labels)
    assert hash_rows(manifest) == hash_rows(moved) != hash_rows(changed)


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_packaged_study_can_be_planned(path):
    study = read_study(path)
    assert study.name == path.stem
    found = plan_runs(study, path.parent)
    assert len({(run.data.name, run.row, run.label_fraction, run.recipe.seed) for run in found}) == len(found)
    # The study file and the page state the number of runs.
    assert f"{len(found)} runs" in path.read_text(encoding="utf-8").split("\nname:")[0]
    page = (STUDIES.parent / "docs" / "studies.md").read_text(encoding="utf-8")
    (row,) = (line for line in page.splitlines() if line.startswith(f"| [`{path.stem}`]"))
    assert row.endswith(f"| {len(found)} |")


def test_several_labels_are_learned_together_and_can_be_selected():
    data = [{"name": "faces", "manifest": "faces.parquet", "task": ["gender", "race"]}]
    found = runs(data=data)
    assert all(list(run.recipe.tasks) == ["gender", "race"] for run in found)
    assert select_runs(found, ["task=gender, race"]) == found


def test_a_control_of_no_method_is_reported_with_the_nearest():
    methods = RAW["methods"] | {"shuffled": {"recipe": "l_ssat_shuffled", "control_of": "supervise"}}
    with pytest.raises(InputError, match=r"methods.shuffled.control_of 'supervise' is not another method.*supervised"):
        runs(methods=methods)
