"""What a person gets wrong, and the one sentence that they are told."""

import json
import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from auxface.data.manifest import header, read_manifest


def test_a_missing_column(refused, sixty, tmp_path, small):
    manifest = read_manifest(sixty)
    table = pa.Table.from_pandas(manifest.table.drop(columns="emotion"), preserve_index=False)
    table = table.replace_schema_metadata({b"auxface": json.dumps(header(manifest)).encode()})
    pq.write_table(table, tmp_path / "m.parquet")
    assert "column 'emotion' is missing" in refused("train", "l_ssat", "--data", "m.parquet", "--out", "run", *small)


def test_an_unknown_label(refused, sixty, small):
    said = refused("train", "l_ssat", "--data", sixty, "--out", "run", *small, "--set", "tasks=[emotoin]")
    assert "no label 'emotoin' (did you mean 'emotion'?)" in said


def test_a_label_column_that_the_list_does_not_have(refused, tmp_path):
    pd.DataFrame({"path": ["a.png"], "kind": ["x"]}).to_csv(tmp_path / "list.csv", index=False)
    said = refused("prepare", "table", "list.csv", "--label", "knid", "-o", "m.parquet")
    assert "knid" in said
    assert "list.csv" in said


def test_not_one_image_that_is_a_image(refused, tmp_path):
    pd.DataFrame({"path": ["a.png", "b.png"], "kind": ["x", "y"]}).to_csv(tmp_path / "list.csv", index=False)
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_text("not an image")
    said = refused("prepare", "table", "list.csv", "--label", "kind", "-o", "m.parquet")
    assert "a.png" in said


def test_predict_with_nothing_readable(run, model, tmp_path):
    (tmp_path / "a.jpg").write_text("not an image")
    done = run("predict", model, "a.jpg")
    assert done.code == 2
    assert done.err.splitlines()[-1] == "auxface: none of the inputs could be read (a.jpg: not an image)"


def test_an_empty_split(refused, sixty, model, tmp_path, small):
    manifest = read_manifest(sixty)
    table = manifest.table[manifest.table["split"] == "train"].copy()
    table["path"] = [str(manifest.root / path) for path in table["path"]]
    written = pa.Table.from_pandas(table, preserve_index=False)
    pq.write_table(
        written.replace_schema_metadata({b"auxface": json.dumps(header(manifest)).encode()}), tmp_path / "m.parquet"
    )
    assert "no rows in split 'val'" in refused("train", "l_ssat", "--data", "m.parquet", "--out", "run", *small)
    said = refused("evaluate", model, "--data", "m.parquet", "--split", "test", "--out", "e")
    assert "no rows in split 'test'" in said


def test_two_classes_where_the_recipe_says_eight(refused, sixty, small):
    eight = "tasks={emotion: {classes: [a, b]}}"
    said = refused("train", "l_ssat", "--data", sixty, "--out", "run", *small, "--set", eight)
    assert "the recipe gives 'emotion' 2 classes" in said
    assert "the manifest has 8" in said


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("train.epoch=3", "did you mean 'train.epochs'?"),
        ("train.epochs=many", "train.epochs"),
        ("train.epochs", "key=value"),
        ("auxiliary.target=local_directional_patern", "local_directional_pattern"),
        ("encoder.patch_size=9", "patch_size"),
        ("encoder.name=vit_tiny_patch61", "vit_tiny_patch61"),
    ],
)
def test_a_typo_in_a_setting(refused, sixty, setting, sentence):
    assert sentence in refused("train", "l_ssat", "--data", sixty, "--out", "run", "--set", setting)


def test_a_typo_in_a_recipe(refused, sixty, tmp_path):
    (tmp_path / "mine.yaml").write_text("base: l_ssat\nauxilary:\n  mask_ratio: 0.5\n")
    said = refused("train", "mine.yaml", "--data", sixty, "--out", "run")
    assert "unknown key 'auxilary' (did you mean 'auxiliary'?)" in said
    assert "did you mean" in refused("train", "l_sat", "--data", sixty, "--out", "run")


def test_an_output_that_exists(refused, sixty, model, tmp_path, small):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "kept.txt").write_text("mine")
    assert "run exists already" in refused("train", "l_ssat", "--data", sixty, "--out", "run", *small)
    assert "run exists already" in refused("evaluate", model, "--data", sixty, "--out", "run")
    assert "run exists already" in refused("demo", "--out", "run")
    assert (tmp_path / "run" / "kept.txt").read_text() == "mine"


def test_what_is_no_model(refused, sixty, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "not a model directory" in refused("evaluate", "empty", "--data", sixty, "--out", "e")
    assert "not a model directory" in refused("predict", "empty", "a.jpg")


def test_labels_that_the_model_does_not_know(refused, model, tmp_path, run):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    Image.new("RGB", (32, 32), (9, 9, 9)).save(tmp_path / "b.png")
    table = {"path": ["a.png", "b.png"], "split": ["test", "test"], "emotion": ["glad", "cross"]}
    pd.DataFrame(table).to_csv(tmp_path / "list.csv", index=False)
    assert run("prepare", "table", "list.csv", "--label", "emotion", "-o", "m.parquet").code == 0
    assert "emotion" in refused("evaluate", model, "--data", "m.parquet", "--out", "e")


def test_an_option_that_does_not_exist(refused, sixty):
    assert "--dta" in refused("train", "l_ssat", "--dta", sixty, "--out", "run")
    assert "no such manifest" in refused("train", "l_ssat", "--data", "gone.parquet", "--out", "run")
    assert "--device" in refused("train", "l_ssat", "--data", sixty, "--out", "run", "--device", "tpu")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--corruption", "gausian_noise"], "did you mean 'gaussian_noise'?"),
        (["--severity", "6"], "severity 6: expected one or more of 1, 2, 3, 4, 5"),
        (["--baseline", "other"], "baseline 'other' is not among the models (run)"),
        (["--onnx", "gone.onnx"], "gone.onnx: no such file"),
    ],
)
def test_options_of_evaluate_that_do_not_fit(refused, sixty, model, more, sentence):
    assert sentence in refused("evaluate", model, "--data", sixty, "--out", "e", *more)


def test_evaluate_without_a_model_and_on_the_split_that_chose_it(refused, sixty, model, tmp_path):
    assert "no model to evaluate" in refused("evaluate", "--data", sixty, "--out", "e")
    shutil.copytree(model, tmp_path / "cheat")
    path = tmp_path / "cheat" / "config.json"
    config = json.loads(path.read_text())
    config["selection"]["split"] = "test"
    path.write_text(json.dumps(config))
    said = refused("evaluate", "cheat", "--data", sixty, "--split", "test", "--out", "e")
    assert "this model was selected on split 'test'" in said


def test_an_invalid_table_is_bad_input_of_evaluate(refused, sixty, model, tmp_path):
    manifest = read_manifest(sixty)
    table = manifest.table.assign(skin_tone=[f"{'x' * 300}{row}" for row in range(len(manifest.table))])
    table["path"] = [str(manifest.root / path) for path in table["path"]]
    written = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {b"auxface": json.dumps(header(manifest)).encode()}
    pq.write_table(written.replace_schema_metadata(metadata), tmp_path / "m.parquet")
    assert "skin_tone" in refused("evaluate", model, "--data", "m.parquet", "--out", "e", "--corruption", "none")
