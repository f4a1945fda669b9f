import json

import pytest
import safetensors.torch
import torch

from auxface.errors import InputError
from auxface.model import JointModel
from auxface.model.config import TaskRecord
from auxface.objectives import LearnedTask
from auxface.recipe import Encoder, Recipe, ReconstructionOptions
from auxface.task import Task


@pytest.fixture
def model():
    recipe = Recipe(
        auxiliary=ReconstructionOptions(decoder_width=32, decoder_depth=1, decoder_heads=4),
        encoder=Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4),
    )
    return JointModel(
        recipe, [LearnedTask("a.b", "class", ("x", "y")), LearnedTask("attributes", "multilabel", ("P", "Q", "R"))]
    ).eval()


@pytest.fixture
def folder(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_saved_model_reads_back_as_itself(model, folder):
    images = torch.rand(3, 3, 32, 32)
    again = JointModel.from_pretrained(folder)
    assert again.recipe == model.recipe
    assert again.tasks == model.tasks
    for name, logits in model.logits(images).items():
        assert torch.equal(logits, again.logits(images)[name])
    files = [".auxface.json", "README.md", "config.json", "model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == files


def test_a_model_is_added_to_a_folder_of_the_user(model, tmp_path):
    (tmp_path / "csv").mkdir()
    for name in ("notes.txt", "csv/table.csv", "config.json"):
        (tmp_path / name).write_text("mine")
    for _ in range(2):
        model.save_pretrained(tmp_path)
    assert {name: (tmp_path / name).read_text() for name in ("notes.txt", "csv/table.csv")} == {
        "notes.txt": "mine",
        "csv/table.csv": "mine",
    }
    assert JointModel.from_pretrained(tmp_path).recipe == model.recipe


def test_a_saved_pretrained_model_loads_without_download(model, folder):
    config = json.loads((folder / "config.json").read_text())
    config["recipe"]["encoder"]["pretrained"] = True
    (folder / "config.json").write_text(json.dumps(config))
    again = JointModel.from_pretrained(folder)
    assert torch.equal(again.encoder.vit.cls_token, model.encoder.vit.cls_token)


def spoil_config(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: (f / "config.json").unlink(), "config.json is missing"),
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda f: (f / "config.json").write_text("{"), "not a model's configuration"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x80\x04pickle"), "not a readable safetensors file"),
        (lambda f: spoil_config(f, lambda c: c.update(surprise=1)), "surprise"),
        (lambda f: spoil_config(f, lambda c: c["tasks"][0].update(classes=["x", "y", "z"])), "do not match"),
        (lambda f: spoil_config(f, lambda c: c["recipe"]["encoder"].update(width=10**9)), "width"),
        (lambda f: spoil_config(f, lambda c: c["recipe"]["encoder"].update(name="hf-hub:a/b")), "not a timm model"),
        (lambda f: safetensors.torch.save_file({"x": torch.zeros(1)}, f / "model.safetensors"), "do not match"),
    ],
)
def test_a_directory_that_is_no_model_is_refused(folder, spoil, sentence):
    spoil(folder)
    with pytest.raises(InputError, match=sentence):
        JointModel.from_pretrained(folder)


@pytest.mark.parametrize(
    "task",
    [
        LearnedTask("mood", "class", ("calm", "glad"), weight=2.0),
        LearnedTask("age", "ordinal", ("1", "2", "3"), values=(1.0, 2.0, 3.0)),
    ],
)
def test_a_record_converts_to_every_form_of_a_task(task):
    record = TaskRecord.of(task, temperature=1.5)
    assert record.learned_task() == task
    scored = record.scored_task()
    assert (scored.name, scored.kind) == (task.name, task.kind)
    assert isinstance(scored, Task)
    assert scored.score_columns() == [f"score.{task.name}.{name}" for name in task.classes if task.kind == "class"]
