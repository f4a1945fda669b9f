"""Every preset learns every kind of task: 13 presets, 3 tasks, a small fixed budget each."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from auxface.data.manifest import read_manifest
from auxface.data.usable import usable_pictures
from auxface.model.scoring import score_pictures
from auxface.recipe import load_recipe, recipe_names
from auxface.training.tasks import label_tensors
from auxface.verbs.prepare import prepare
from auxface.verbs.train import train

SIZE = 48
EPOCHS = 16
SETTINGS = (
    f"encoder.image_size={SIZE}",
    "encoder.width=96",
    "encoder.depth=3",
    "encoder.heads=3",
    f"train.epochs={EPOCHS}",
    "train.base_learning_rate=0.008",
)
DECODER = ("auxiliary.decoder_width=32", "auxiliary.decoder_depth=1", "auxiliary.decoder_heads=4")
PRESETS = tuple(name for name in recipe_names() if "video" not in name)
# Chance is 1/8 for eight emotions, 1/2 for the AUC of the others. The margins are those of a budget of seconds.
LEAST = {"emotion": 0.25, "attributes": 0.6, "forged": 0.6}


def figure_on_test(model, manifest, task):
    """Balanced accuracy of single labels, AUC of binary ones, the mean of it over attributes."""
    part = usable_pictures(manifest.only("test"), "test", SIZE)
    (logits,), (labels,) = (
        each.values() for each in (score_pictures(model, part.pictures), label_tensors(part.manifest, model.tasks))
    )
    truth = labels.numpy()
    if task == "emotion":
        return balanced_accuracy_score(truth, logits.argmax(axis=1))
    columns = truth.reshape(len(truth), -1)
    varied = [place for place in range(columns.shape[1]) if 0.02 < columns[:, place].mean() < 0.98]
    return float(np.mean([roc_auc_score(columns[:, place], logits[:, place]) for place in varied]))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_preset_learns_every_kind_of_task(tmp_path):
    """Minutes; its run time has not been measured on an idle machine."""
    data = tmp_path / "faces.parquet"
    prepare("synthetic", tmp_path / "faces", output=data, options={"count": 2000, "seed": 3, "size": SIZE})
    manifest = read_manifest(data)
    found = {}
    for preset in PRESETS:
        decoder = DECODER if load_recipe(preset).auxiliary is not None else ()
        for task in LEAST:
            out = tmp_path / f"{preset}-{task}"
            saved = train(preset, data, out, overrides=[*SETTINGS, *decoder, f"tasks=[{task}]"], device="cpu")
            found[preset, task] = figure_on_test(saved.model, manifest, task)
            print(f"{preset:28} {task:12} {found[preset, task]:.3f}", flush=True)
    assert {key: value for key, value in found.items() if value < LEAST[key[1]]} == {}
