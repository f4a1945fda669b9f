"""Class weights of a recipe, computed on the training split."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from auxface.data.manifest import Label, Manifest
from auxface.errors import InputError
from auxface.objectives.classification import sample_losses
from auxface.recipe.load import check_recipe
from auxface.training.tasks import tasks_for

EMOTIONS = ("happy", "sad", "fear")
TABLE = pd.DataFrame(
    {
        "split": ["train"] * 8 + ["val"] * 4,
        # The training split has no fear; the validation split has only fear, which must not count.
        "emotion": ["happy"] * 5 + ["sad"] * 2 + [None] + ["fear"] * 4,
        "forged": [1, 0, 0, 0, 0, 0, 0, np.nan, 1, 1, 1, 1],
        "hat": [1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1],
        "beard": [1, 1, 1, 1, 1, 1, np.nan, 0, 0, 0, 0, 0],
    }
)
MANIFEST = Manifest(
    TABLE,
    {
        "emotion": Label("class", EMOTIONS),
        "forged": Label("binary", ("real", "fake")),
        "worn": Label("multilabel", ("hat", "beard")),
    },
)


def task_with(name, options):
    recipe = check_recipe({"auxiliary": None, "primary_weight": 1, "tasks": {name: options}}, "mine.yaml")
    (task,) = tasks_for(recipe, MANIFEST)
    return task


def test_balanced_weights_equal_those_of_scikit_learn():
    known = TABLE["emotion"][:7].to_numpy()
    happy, sad = compute_class_weight("balanced", classes=np.array(["happy", "sad"]), y=known)
    weights = task_with("emotion", {"class_weights": "balanced"}).class_weights
    # One of three classes has no image: its weight is 1, those of the others are as if all three had images.
    assert weights == pytest.approx((happy * 2 / 3, sad * 2 / 3, 1))


def test_binary_and_multilabel_weights_are_balanced():
    assert task_with("forged", {"class_weights": "balanced"}).class_weights == pytest.approx((7 / 12, 7 / 2))
    absent_then_present = (8 / 12, 7 / 2, 8 / 4, 7 / 12)
    assert task_with("worn", {"class_weights": "balanced"}).class_weights == pytest.approx(absent_then_present)


def test_balanced_classes_have_equal_weight_in_the_loss():
    task = task_with("emotion", {"class_weights": "balanced"})
    labels = torch.tensor([0] * 5 + [1] * 2 + [-1])
    _, counts = sample_losses(task, torch.zeros(8, 3), labels)
    assert float(counts[labels == 0].sum()) == pytest.approx(float(counts[labels == 1].sum()))
    assert float(counts[labels == -1].sum()) == 0


def test_class_weights_are_given_by_name_and_default_to_one():
    assert task_with("emotion", {"class_weights": {"sad": 3}}).class_weights == (1, 3, 1)
    assert task_with("worn", {"class_weights": {"beard": 2}}).class_weights == (1, 1, 1, 2)
    with pytest.raises(
        InputError, match=r"class_weights: 'sadd' is not a class \(did you mean 'sad'\?\); expected happy, sad, fear"
    ):
        task_with("emotion", {"class_weights": {"sadd": 3}})
