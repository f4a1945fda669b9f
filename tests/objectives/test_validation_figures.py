import numpy as np
import pytest
import sklearn.metrics as sk

from auxface.objectives import LearnedTask
from auxface.objectives.validation_figures import classification_figure

rng = np.random.default_rng(0)
EMOTION = LearnedTask("emotion", "class", ("a", "b", "c"))
ATTRIBUTES = LearnedTask("attributes", "multilabel", ("P", "Q"))


def macro_f1(labels, predicted):
    return sk.f1_score(labels, predicted, average="macro")


def test_binary_balanced_accuracy_is_at_the_best_threshold():
    task = LearnedTask("forged", "binary", ("real", "forged"))
    labels, logits = rng.integers(0, 2, 60).astype(float), rng.normal(size=(60, 1))
    best = max(sk.balanced_accuracy_score(labels, logits[:, 0] >= cut) for cut in logits[:, 0])
    value = classification_figure("balanced_accuracy", (task,), {"forged": logits}, {"forged": labels})
    assert value == pytest.approx(best)


def test_the_mean_over_tasks_and_attributes_equals_scikit_learn():
    logits = {"emotion": rng.normal(size=(50, 3)), "attributes": rng.normal(size=(50, 2))}
    labels = {"emotion": rng.integers(-1, 3, 50), "attributes": rng.integers(0, 2, (50, 2)).astype(float)}
    labels["attributes"][:9, 1] = np.nan
    known = labels["emotion"] >= 0
    kept = slice(9, None)
    for metric, function in (("macro_f1", macro_f1), ("accuracy", sk.accuracy_score)):
        emotion = function(labels["emotion"][known], logits["emotion"][known].argmax(axis=1))
        p = function(labels["attributes"][:, 0], logits["attributes"][:, 0] > 0)
        q = function(labels["attributes"][kept, 1], logits["attributes"][kept, 1] > 0)
        assert classification_figure(metric, (EMOTION, ATTRIBUTES), logits, labels) == pytest.approx(
            np.mean([emotion, p, q])
        )


def test_a_better_loss_is_a_higher_value():
    labels = {"emotion": np.array([0, 1, 2, 0])}
    good = {"emotion": np.eye(3)[labels["emotion"]] * 5}
    bad = {"emotion": np.zeros((4, 3))}
    value = classification_figure("loss", (EMOTION,), good, labels)
    assert value > classification_figure("loss", (EMOTION,), bad, labels) == pytest.approx(-np.log(3))


def test_one_class_alone_cannot_be_measured():
    assert classification_figure("accuracy", (EMOTION,), {"emotion": np.zeros((4, 3))}, {"emotion": np.ones(4)}) is None
