"""Collections of synthetic faces: independent of count and workers, disjoint splits, labels independent of groups."""

import numpy as np
import pandas as pd
import pytest

from auxface.data.synthetic import (
    AGE_GROUPS,
    ATTRIBUTES,
    EMOTIONS,
    IMAGES_PER_SOURCE,
    SKIN_TONES,
    Bias,
    describe_face,
    render_faces,
)
from auxface.errors import InputError


def table_of(count, **how):
    """Return the table of a collection without rendering it."""
    return pd.DataFrame([describe_face(index, **how)[1] for index in range(count)])


def cramers_v(a, b):
    counts = pd.crosstab(a, b).to_numpy().astype(float)
    expected = counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / counts.sum()
    chi2 = ((counts - expected) ** 2 / expected).sum()
    return np.sqrt(chi2 / (counts.sum() * (min(counts.shape) - 1)))


@pytest.fixture(scope="module")
def free():
    return table_of(4000, seed=1)


@pytest.fixture(scope="module")
def small():
    return render_faces(24, seed=7, size=48, workers=1)


def test_the_table_has_the_documented_columns(small):
    assert small.images.shape == (24, 48, 48, 3)
    assert small.images.dtype == np.uint8
    assert list(small.table.columns) == [
        "split", "source", "frame", "emotion", "skin_tone", "age_group", "forged", *ATTRIBUTES,
    ]  # fmt: skip
    assert set(small.table.emotion) <= set(EMOTIONS)
    assert set(small.table.skin_tone) <= set(SKIN_TONES)
    assert set(small.table.age_group) <= set(AGE_GROUPS)
    assert small.table[["forged", *ATTRIBUTES]].isin([0, 1]).all(axis=None)
    assert len(ATTRIBUTES) >= 10


def test_equal_seeds_give_equal_faces(small):
    again = render_faces(24, seed=7, size=48, workers=1)
    assert np.array_equal(again.images, small.images)
    pd.testing.assert_frame_equal(again.table, small.table)
    other = render_faces(8, seed=8, size=48, workers=1)
    assert not any(np.array_equal(a, b) for a, b in zip(other.images, small.images))


def test_face_i_does_not_depend_on_the_count(small):
    part = render_faces(7, seed=7, size=48, workers=1)
    assert np.array_equal(part.images, small.images[:7])
    pd.testing.assert_frame_equal(part.table, small.table.iloc[:7])


def test_the_number_of_workers_changes_nothing():
    seen = []
    here = render_faces(200, seed=3, size=32, workers=1, bias=Bias("Eyeglasses", strength=0.7))
    apart = render_faces(200, seed=3, size=32, workers=2, bias=Bias("Eyeglasses", strength=0.7), progress=seen.append)
    assert np.array_equal(here.images, apart.images)
    pd.testing.assert_frame_equal(here.table, apart.table)
    assert sorted(seen) == list(range(1, 201))


def test_no_person_is_in_two_splits(free):
    assert (free.groupby("source").split.nunique() == 1).all()
    assert (free.groupby("source").size() == IMAGES_PER_SOURCE).all()
    assert not free.duplicated(["source", "frame"]).any()


def test_labels_of_a_person_are_constant(free):
    of_a_person = ["skin_tone", "age_group", "Young", "Big_Nose", "Big_Lips", "Bushy_Eyebrows", "Goatee", "No_Beard"]
    assert (free.groupby("source")[of_a_person].nunique() == 1).all(axis=None)


@pytest.mark.parametrize("splits", [(0.7, 0.1, 0.2), (0.5, 0.25, 0.25), (1.0, 0.0, 0.0)])
def test_splits_have_their_fractions_at_any_count(splits):
    for count in (60, 400, 1200):
        shares = table_of(count, seed=5, splits=splits).split.value_counts(normalize=True)
        for name, share in zip(("train", "val", "test"), splits):
            assert shares.get(name, 0.0) == pytest.approx(share, abs=0.02 + 12 / count)


def test_every_tone_and_emotion_is_equally_frequent(free):
    assert free.skin_tone.value_counts().tolist() == [400] * 10
    assert free.emotion.value_counts(normalize=True).between(0.11, 0.14).all()


def test_labels_are_independent_of_skin_tone(free):
    # Labels of a person have a quarter as many independent values, so random association is twice as large.
    people = free.drop_duplicates("source")
    for label in ("emotion", "forged", "Smiling", "Eyeglasses", "Wearing_Hat", "Mouth_Slightly_Open"):
        assert cramers_v(free.skin_tone, free[label]) < 0.08, label
    for label in ("Young", "Black_Hair", "Blond_Hair", "No_Beard", "Big_Nose", "Bangs", "age_group"):
        assert cramers_v(people.skin_tone, people[label]) < 0.15, label


@pytest.mark.parametrize("label", ["Smiling", "emotion=happy", "Eyeglasses", "forged", "Goatee", "Bangs"])
def test_bias_changes_the_training_split_only(free, label):
    def has(table):
        return (table.emotion == "happy") if label == "emotion=happy" else table[label] == 1

    base = has(free).mean()
    unbiased = free[:800]
    previous = 0.0
    for strength in (0.5, 1.0):
        table = table_of(800, seed=1, bias=Bias(label, strength=strength))
        train = table[table.split == "train"]
        light = train.skin_tone.isin(SKIN_TONES[:5])
        assert has(train)[light].mean() == pytest.approx(strength + (1 - strength) * base, abs=0.09)
        assert has(train)[~light].mean() == pytest.approx((1 - strength) * base, abs=0.09)
        tie = cramers_v(light, has(train))
        assert tie > previous + 0.2
        previous = tie
        held_out = table.split != "train"
        pd.testing.assert_frame_equal(table[held_out], unbiased[held_out])
    assert previous == pytest.approx(1.0)


def test_a_bias_of_strength_zero_changes_nothing():
    pd.testing.assert_frame_equal(table_of(80, seed=4, bias=Bias("Smiling", strength=0.0)), table_of(80, seed=4))


def test_bias_accepts_a_group_and_favored_levels():
    bias = Bias("Wearing_Hat", group="age_group", strength=1.0, favored=("senior",))
    table = table_of(400, seed=6, bias=bias)
    train = table[table.split == "train"]
    assert ((train.Wearing_Hat == 1) == (train.age_group == "senior")).all()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"label": "Grinning"}, "bias label 'Grinning' is unknown"),
        ({"group": "race"}, "bias group 'race' is unknown"),
        ({"strength": 1.5}, "strength 1.5 must be between 0"),
        ({"favored": ("monk_11",)}, "favors 'monk_11', which is not a level of skin_tone"),
        ({"label": "Young", "group": "age_group"}, "cannot correlate Young with age_group"),
    ],
)
def test_an_invalid_bias_is_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        Bias(**wrong)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"count": 0}, "count must be 1 or more, not 0"),
        ({"count": 4, "size": 16}, "not 16"),
        ({"count": 4, "size": 1024}, "not 1024"),
        ({"count": 4, "seed": -1}, "seed must be 0 or more, not -1"),
        ({"count": 4, "splits": (0.5, 0.1, 0.1)}, "splits must be three numbers"),
    ],
)
def test_invalid_arguments_are_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        render_faces(**wrong)
