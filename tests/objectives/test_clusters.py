import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from auxface.data.manifest import Label, Manifest
from auxface.errors import InputError
from auxface.objectives import LearnedTask
from auxface.objectives.contrast.cluster_labels import (
    auxiliary_labels,
    entropy,
    information,
    information_report,
    kmeans_clusters,
    top_k_entropy,
)

TABLE = pd.DataFrame(
    {
        "emotion": ["happy", "sad", "happy", "sad"],
        "Smiling": [1, 0, 1, 0],
        "Hat": [1, 1, 0, 0],
        "Young": [1, 1, 1, 0],
        "age": [3.0, 4.0, 5.0, 6.0],
        "skin_tone": ["I", "II", "I", "II"],
    }
)
MANIFEST = Manifest(
    TABLE,
    {
        "emotion": Label("class", ("happy", "sad")),
        "attributes": Label("multilabel", ("Smiling", "Hat", "Young")),
        "age": Label("ordinal"),
    },
    ("skin_tone",),
)
EMOTION = LearnedTask("emotion", "class", ("happy", "sad"))
ATTRIBUTES = LearnedTask("attributes", "multilabel", ("Smiling", "Hat", "Young"))


def test_learned_labels_and_unnamed_groups_define_no_clusters():
    assert list(auxiliary_labels(MANIFEST, [EMOTION])) == ["Smiling", "Hat", "Young"]
    assert list(auxiliary_labels(MANIFEST, [ATTRIBUTES])) == ["emotion"]
    assert list(auxiliary_labels(MANIFEST, [EMOTION], ["skin_tone", "Hat"])) == ["Hat", "skin_tone"]


@pytest.mark.parametrize(
    ("tasks", "wanted", "sentence"),
    [
        ([ATTRIBUTES], ["Smiling"], "'Smiling' is a task of the recipe"),
        ([EMOTION], ["emotion"], "'emotion' is a task of the recipe"),
        ([EMOTION], ["Smilin"], "did you mean 'Smiling'"),
        ([EMOTION, ATTRIBUTES], [], "clusters=kmeans"),
    ],
)
def test_clusters_of_learned_labels_are_refused(tasks, wanted, sentence):
    with pytest.raises(InputError, match=sentence):
        auxiliary_labels(MANIFEST, tasks, wanted)


def test_clusters_combine_the_labels_of_highest_entropy():
    numbers, names = top_k_entropy(TABLE[["Smiling", "Hat", "Young"]], 2)
    assert sorted(names) == ["Hat", "Smiling"]
    assert len(set(numbers)) == 4
    one, name = top_k_entropy(TABLE[["Young", "Smiling"]], 1)
    assert name == ["Smiling"]
    assert one[0] == one[2] != one[1] == one[3]


def test_a_row_with_an_unknown_label_is_a_cluster_of_its_own():
    table = pd.DataFrame({"a": [1.0, 1.0, np.nan, np.nan, 0.0]})
    numbers, _ = top_k_entropy(table, 1)
    assert numbers[0] == numbers[1]
    assert len(set(numbers)) == 4


def test_information_equals_a_worked_example():
    clusters = np.array([0, 0, 1, 1])
    assert entropy(clusters) == pytest.approx(math.log(2))
    assert information(clusters, np.array([5, 5, 7, 7])) == pytest.approx((math.log(2), 0))
    assert information(clusters, np.array([0, 1, 0, 1])) == pytest.approx((0, math.log(2)))
    # Three of four agree: H(Z|T) = 3/4 of the entropy of (1/3, 2/3), and the rest of log 2 is shared.
    left = 0.75 * (math.log(3) - 2 / 3 * math.log(2))
    assert information(clusters, np.array([0, 1, 1, 1])) == pytest.approx((math.log(2) - left, left))


def test_the_report_names_every_task_and_attribute():
    report = information_report(np.array([0, 1, 0, 1]), MANIFEST, [EMOTION, ATTRIBUTES])
    assert report["mutual_information.emotion"] == pytest.approx(math.log(2))
    assert report["conditional_entropy.attributes.Hat"] == pytest.approx(math.log(2))
    assert report["entropy"] == pytest.approx(math.log(2))


def test_kmeans_finds_directions_of_any_length():
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), 20)
    features = (np.eye(8)[truth] + 0.05 * rng.normal(size=(60, 8))) * rng.uniform(1, 9, (60, 1))
    assert adjusted_rand_score(truth, kmeans_clusters(features.astype(np.float32), 3, 0)) == 1
    assert len(set(kmeans_clusters(features[:6], 64, 0))) <= 3
