"""Wrong input to each command, and its one-line message."""

import json
import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from auxface.data.manifest import header, read_manifest


def test_a_missing_column_is_named(refused, sixty, tmp_path, small):
    manifest = read_manifest(sixty)
    table = pa.Table.from_pandas(manifest.table.drop(columns="emotion"), preserve_index=False)
    table = table.replace_schema_metadata({b"auxface": json.dumps(header(manifest)).encode()})
    pq.write_table(table, tmp_path / "m.parquet")
    assert "column 'emotion' is missing" in refused("train", "l_ssat", "--data", "m.parquet", "--out", "run", *small)


def test_an_option_with_one_value_is_given_once(refused, tmp_path):
    (tmp_path / "a.csv").write_text("y,p,q\n1,0.9,0.1\n0,0.2,0.8\n")
    message = refused("audit", "a.csv", "--true", "y", "--score", "p", "--true=q", "-o", "out")
    assert "--true is given 2 times" in message
    assert "--out is given 2 times" in refused("audit", "a.csv", "-o", "x", "--out", "y")


def test_a_run_without_a_readable_checkpoint_is_refused_before_images_are_read(
    refused, trained, sixty, tmp_path, small, monkeypatch
):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    for path in run.glob("checkpoint/*/model.safetensors"):
        path.write_bytes(path.read_bytes()[:-5])
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").write_bytes(b"broken")

    def read(*_):
        raise AssertionError("images were read")

    for module in ("training.assembly", "inference.evaluate"):
        monkeypatch.setattr(f"auxface.{module}.load_samples", read)
    monkeypatch.setattr("auxface.training.assembly.load_training_samples", read)
    assert "no checkpoint from which this run can be resumed" in refused("train", "--resume", run)
    start = ("--set", "encoder.init_from=weights", "--out", "new")
    assert "not a readable safetensors file" in refused("train", "l_ssat", "--data", sixty, *small, *start)
    (run / "model.safetensors").write_bytes(b"broken")
    assert "not a readable safetensors file" in refused("evaluate", run, "--data", sixty, "--out", "report")


def test_a_folder_is_no_table(refused, tmp_path):
    (tmp_path / "folder").mkdir()
    assert "folder: a folder, not a table; expected a table: .parquet" in refused("audit", "folder", "-o", "out")


def test_a_web_page_is_no_table(refused, tmp_path):
    (tmp_path / "page.html").write_text("<!DOCTYPE html>\n<html><body>a,b</body></html>\n")
    for command in (("audit", "page.html"), ("prepare", "table", "page.html", "--label", "a")):
        assert "page.html: a web page (HTML), not a table; expected a table: .parquet" in refused(
            *command, "-o", "out.csv"
        )


@pytest.mark.parametrize("name", ["-x.jpg", "-o.jpg", "--odd name.jpg"])
def test_a_file_name_with_a_dash_needs_two_dashes(refused, tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    shown = f"'{name}'" if " " in name else name
    assert f"{name} is also a file" in refused("predict", "runs/a", name)
    assert refused("predict", "runs/a", name).endswith(f"auxface predict runs/a -- {shown})\n".rstrip())


def test_an_unknown_label_suggests_the_nearest(refused, sixty, small):
    message = refused("train", "l_ssat", "--data", sixty, "--out", "run", *small, "--set", "tasks=[emotoin]")
    assert "no label 'emotoin' (did you mean 'emotion'?)" in message


def test_a_missing_label_column_names_the_list(refused, tmp_path):
    pd.DataFrame({"path": ["a.png"], "kind": ["x"]}).to_csv(tmp_path / "list.csv", index=False)
    message = refused("prepare", "table", "list.csv", "--label", "knid", "-o", "m.parquet")
    assert "knid" in message
    assert "list.csv" in message


def test_a_list_without_readable_images_is_refused(refused, tmp_path):
    pd.DataFrame({"path": ["a.png", "b.png"], "kind": ["x", "y"]}).to_csv(tmp_path / "list.csv", index=False)
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_text("not an image")
    message = refused("prepare", "table", "list.csv", "--label", "kind", "-o", "m.parquet")
    assert "a.png" in message


def test_predict_without_readable_inputs_is_refused(run, trained, tmp_path):
    (tmp_path / "a.jpg").write_text("not an image")
    done = run("predict", trained, "a.jpg")
    assert done.code == 2
    assert done.err.splitlines()[-1] == "auxface: a.jpg: not an image"


def test_an_empty_split_is_refused(refused, sixty, trained, tmp_path, small):
    manifest = read_manifest(sixty)
    table = manifest.table[manifest.table["split"] == "train"].copy()
    table["path"] = [str(manifest.root / path) for path in table["path"]]
    written = pa.Table.from_pandas(table, preserve_index=False)
    pq.write_table(
        written.replace_schema_metadata({b"auxface": json.dumps(header(manifest)).encode()}), tmp_path / "m.parquet"
    )
    assert "no rows in split 'val'" in refused("train", "l_ssat", "--data", "m.parquet", "--out", "run", *small)
    message = refused("evaluate", trained, "--data", "m.parquet", "--split", "test", "--out", "e")
    assert "no rows in split 'test'" in message


def test_other_classes_than_those_of_the_recipe_are_refused(refused, sixty, small):
    eight = "tasks={emotion: {classes: [a, b]}}"
    message = refused("train", "l_ssat", "--data", sixty, "--out", "run", *small, "--set", eight)
    assert "the recipe has 2 classes for 'emotion'" in message
    assert "the manifest has 8" in message


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("train.epoch=3", "did you mean 'train.epochs'?"),
        ("train.epochs=many", "train.epochs"),
        ("train.epochs", "key=value"),
        ("auxiliary.target=local_directional_patern", "local_directional_pattern"),
        ("encoder.patch_size=9", "patch_size"),
        ("encoder.name=vit_tiny_patch61", "vit_tiny_patch61"),
    ],
)
def test_a_misspelled_setting_suggests_the_nearest(refused, sixty, setting, expected):
    assert expected in refused("train", "l_ssat", "--data", sixty, "--out", "run", "--set", setting)


def test_a_misspelled_recipe_suggests_the_nearest(refused, sixty, tmp_path):
    (tmp_path / "mine.yaml").write_text("base: l_ssat\nauxilary:\n  mask_ratio: 0.5\n")
    message = refused("train", "mine.yaml", "--data", sixty, "--out", "run")
    assert "unknown key 'auxilary' (did you mean 'auxiliary'?)" in message
    assert "did you mean" in refused("train", "l_sat", "--data", sixty, "--out", "run")


def test_an_existing_output_is_refused_and_unchanged(refused, sixty, trained, tmp_path, small):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "kept.txt").write_text("mine")
    assert "run already exists" in refused("train", "l_ssat", "--data", sixty, "--out", "run", *small)
    assert "run already exists" in refused("evaluate", trained, "--data", sixty, "--out", "run")
    assert "run already exists" in refused("demo", "--out", "run")
    assert (tmp_path / "run" / "kept.txt").read_text() == "mine"


def test_a_folder_without_a_model_is_refused(refused, sixty, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "not a model directory" in refused("evaluate", "empty", "--data", sixty, "--out", "e")
    assert "not a model directory" in refused("predict", "empty", "a.jpg")
    (tmp_path / "empty" / "run.json").write_text("{}")
    assert "complete it with 'auxface train --resume empty'" in refused("predict", "empty", "a.jpg")


def test_evaluate_refuses_labels_unknown_to_the_model(refused, trained, tmp_path, run):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    Image.new("RGB", (32, 32), (9, 9, 9)).save(tmp_path / "b.png")
    table = {"path": ["a.png", "b.png"], "split": ["test", "test"], "emotion": ["glad", "cross"]}
    pd.DataFrame(table).to_csv(tmp_path / "list.csv", index=False)
    assert run("prepare", "table", "list.csv", "--label", "emotion", "-o", "m.parquet").code == 0
    assert "emotion" in refused("evaluate", trained, "--data", "m.parquet", "--out", "e")


def test_an_unknown_option_file_or_device_is_refused(refused, sixty):
    assert "--dta" in refused("train", "l_ssat", "--dta", sixty, "--out", "run")
    assert "no such manifest" in refused("train", "l_ssat", "--data", "gone.parquet", "--out", "run")
    assert "--device" in refused("train", "l_ssat", "--data", sixty, "--out", "run", "--device", "tpu")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--corruption", "gausian_noise"], "did you mean 'gaussian_noise'?"),
        (["--severity", "6"], "severity 6: expected one or more of 1, 2, 3, 4, 5"),
        (["--baseline", "other"], "baseline 'other' is not among the models (run)"),
        (["--onnx", "gone.onnx"], "gone.onnx: no such file"),
    ],
)
def test_evaluate_refuses_invalid_options(refused, sixty, trained, more, expected):
    assert expected in refused("evaluate", trained, "--data", sixty, "--out", "e", *more)


def test_evaluate_refuses_no_model_and_the_selection_split(refused, sixty, trained, tmp_path):
    assert "no model to evaluate" in refused("evaluate", "--data", sixty, "--out", "e")
    shutil.copytree(trained, tmp_path / "cheat")
    path = tmp_path / "cheat" / "config.json"
    config = json.loads(path.read_text())
    config["selection"]["split"] = "test"
    path.write_text(json.dumps(config))
    message = refused("evaluate", "cheat", "--data", sixty, "--split", "test", "--out", "e")
    assert "this model was selected on split 'test'" in message


def test_an_invalid_table_is_bad_input_of_evaluate(refused, sixty, trained, tmp_path):
    manifest = read_manifest(sixty)
    table = manifest.table.assign(skin_tone=[f"{'x' * 300}{row}" for row in range(len(manifest.table))])
    table["path"] = [str(manifest.root / path) for path in table["path"]]
    written = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {b"auxface": json.dumps(header(manifest)).encode()}
    pq.write_table(written.replace_schema_metadata(metadata), tmp_path / "m.parquet")
    assert "skin_tone" in refused("evaluate", trained, "--data", "m.parquet", "--out", "e", "--corruption", "none")
