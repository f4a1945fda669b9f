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
from auxface.training.tasks import label_tensors, tasks_for, with_selection

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


def people_manifest(people, **others):
    splits = ["train", "train", "train", "val", "val", "test"]
    table = pd.DataFrame({"split": splits, "person": people, **others})
    return Manifest(table, {"person": Label("identity")} | {name: Label("class", ("a", "b")) for name in others})


def metric_recipe(**keys):
    raw = {"auxiliary": None, "primary_weight": 1, "primary": "metric_learning", "tasks": ["person"]}
    return check_recipe(raw | keys, "mine.yaml")


def test_people_of_the_training_split_are_classes_and_others_follow():
    manifest = people_manifest(pd.array([7, 5, None, 9, 8, 8], dtype="Int64"))
    (task,) = tasks_for(metric_recipe(), manifest)
    assert (task.kind, task.identity, task.classes) == ("class", True, ("5", "7"))
    assert label_tensors(manifest.only("train"), (task,))["person"].tolist() == [1, 0, -1]
    assert label_tensors(manifest.only("val"), (task,))["person"].tolist() == [3, 2]


def test_a_person_in_two_splits_is_refused():
    with pytest.raises(InputError, match=r"'bob' of label 'person' is in the splits train and val"):
        tasks_for(metric_recipe(), people_manifest(["ann", "bob", "ann", "bob", "eve", "eve"]))


def test_a_training_split_of_one_person_is_refused():
    with pytest.raises(InputError, match="has 1 people in the training split; expected at least two"):
        tasks_for(metric_recipe(), people_manifest(["ann", "ann", None, "bob", "eve", "eve"]))


def test_identity_needs_metric_learning_and_has_no_classes():
    manifest = people_manifest(["ann", "bob", "ann", "eve", "eve", "eve"])
    with pytest.raises(InputError, match=r"an identity label, which requires primary\.kind=metric_learning"):
        tasks_for(metric_recipe(primary={}), manifest)
    with pytest.raises(InputError, match="'person' is an identity label, which supports only the option weight"):
        tasks_for(metric_recipe(tasks={"person": {"focal_gamma": 1}}), manifest)


def test_identity_is_learned_by_default_where_there_is_no_other_label():
    people = ["ann", "bob", "ann", "eve", "eve", "eve"]
    assert [task.name for task in tasks_for(metric_recipe(tasks=[]), people_manifest(people))] == ["person"]
    both = people_manifest(people, mood=list("ababab"))
    assert [task.name for task in tasks_for(metric_recipe(tasks=[]), both)] == ["mood"]


def test_identity_is_selected_by_a_figure_of_pairs():
    manifest = people_manifest(["ann", "bob", "ann", "eve", "eve", "eve"], mood=list("ababab"))
    chosen = with_selection(metric_recipe(), tasks_for(metric_recipe(), manifest)).train.select_on
    assert chosen == "verification_auc"
    kept = metric_recipe(train={"select_on": "recall_at_1"})
    assert with_selection(kept, tasks_for(kept, manifest)) == kept
    wrong = metric_recipe(train={"select_on": "accuracy"})
    with pytest.raises(InputError, match="expected verification_auc or recall_at_1"):
        with_selection(wrong, tasks_for(wrong, manifest))
    moods = metric_recipe(tasks=["mood"], train={"select_on": "recall_at_1"})
    with pytest.raises(InputError, match="requires an identity label, but no task of the recipe is one"):
        with_selection(moods, tasks_for(moods, manifest))
