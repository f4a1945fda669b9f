"""Pre-training without a task, and a training that starts from it."""

import json

import pytest
import torch
from safetensors.torch import load_file

from auxface.data.manifest import Manifest, read_manifest, write_manifest
from auxface.data.prepare.prepare import prepare
from auxface.errors import InputError
from auxface.inference.evaluate import evaluate
from auxface.inference.export import export
from auxface.inference.predictor import Predictor
from auxface.model import JointModel
from auxface.recipe import load_recipe
from auxface.recipe.load import check_recipe
from auxface.training.train import check, resume, train

ENCODER = ("encoder.image_size=32", "encoder.width=16", "encoder.depth=2", "encoder.heads=2")
SMALL = (
    *ENCODER,
    "auxiliary.decoder_width=16",
    "auxiliary.decoder_depth=1",
    "auxiliary.decoder_heads=2",
    "train.epochs=3",
    "train.batch_size=16",
    "train.validate_every=1",
    "train.precision=fp32",
    "train.base_learning_rate=0.02",
)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    prepare("synthetic", folder / "images", out=folder / "faces.parquet", options={"count": 120, "size": 32})
    manifest = read_manifest(folder / "faces.parquet")
    write_manifest(Manifest(manifest.table, {}), folder / "unlabeled.parquet")
    return folder


@pytest.fixture(scope="module")
def pretrained(faces, tmp_path_factory):
    """A run on a manifest that has no labels at all."""
    out = tmp_path_factory.mktemp("runs") / "pretrained"
    saved = train("pretrain", faces / "unlabeled.parquet", out, overrides=SMALL, device="cpu", warn=lambda text: None)
    return out, saved


def test_pretraining_selects_by_skill_on_validation_faces(pretrained):
    out, saved = pretrained
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    skills = [line["val.skill"] for line in lines]
    assert [line["val.reconstruction.skill.rgb"] for line in lines] == skills
    selection = saved.config.selection
    assert (selection.split, selection.metric, selection.value) == ("val", "skill", max(skills))
    assert selection.epoch == skills.index(max(skills)) + 1
    assert skills[-1] > skills[0]
    assert saved.config.tasks == ()
    assert "The model was pre-trained without a task" in (out / "README.md").read_text()
    assert "| task |" not in (out / "README.md").read_text()


def test_labels_do_not_change_pretraining(faces, pretrained, tmp_path):
    labeled = train(
        "pretrain", faces / "faces.parquet", tmp_path / "run", overrides=SMALL, device="cpu", warn=lambda text: None
    )
    expected = load_file(pretrained[0] / "model.safetensors")
    assert all(value.equal(expected[name]) for name, value in labeled.model.state_dict().items() if name in expected)


def test_a_training_starts_from_a_pretrained_run(faces, pretrained, tmp_path):
    out, saved = pretrained
    settings = [*ENCODER, "tasks=[emotion]", "train.epochs=1", "train.batch_size=16", f"encoder.init_from={out}"]
    recipe = load_recipe("supervised", settings)
    model = JointModel(recipe, ())
    own, given = model.encoder.state_dict(), saved.model.encoder.state_dict()
    assert all(own[name].equal(given[name]) for name in own)
    assert not torch.equal(JointModel(load_recipe("supervised", settings[:-1]), ()).encoder.vit.norm.weight,
                           given["vit.norm.weight"])  # fmt: skip
    tuned = train(recipe, faces / "faces.parquet", tmp_path / "tuned", device="cpu")
    assert tuned.config.tasks[0].name == "emotion"
    assert tuned.config.provenance["initial_weights"]["source"] != "random"


def test_a_pretrained_model_says_that_it_predicts_nothing(faces, pretrained, tmp_path):
    for call in (
        lambda: Predictor.from_pretrained(pretrained[0]),
        lambda: evaluate({"it": pretrained[0]}, faces / "faces.parquet", out=tmp_path / "e"),
        lambda: export(pretrained[0], tmp_path / "m.onnx"),
    ):
        with pytest.raises(InputError, match=r"was pre-trained without a task .*encoder\.init_from="):
            call()
    assert not list(tmp_path.iterdir())
    assert JointModel.from_pretrained(pretrained[0]).tasks == ()


def test_a_recipe_without_training_of_tasks_names_none():
    with pytest.raises(InputError, match="primary_weight 0 trains no task; remove tasks"):
        load_recipe("pretrain", ["tasks=[emotion]"])
    with pytest.raises(InputError, match="needs primary_weight: 1"):
        check_recipe({"primary_weight": 0, "auxiliary": None}, "mine")
    recipe = load_recipe("pretrain")
    assert (recipe.trains_tasks, recipe.selection_metric) == (False, "skill")
    assert load_recipe("l_ssat").selection_metric == "balanced_accuracy"


def test_pretraining_can_be_checked_and_resumed(faces, pretrained):
    out, saved = pretrained
    result = check("pretrain", faces / "unlabeled.parquet", overrides=SMALL, device="cpu")
    assert result.steps == 3 * -(-saved.config.provenance["images"]["train"] // 16)
    again = resume(out, device="cpu", warn=lambda text: None)
    assert again.config.selection == saved.config.selection
