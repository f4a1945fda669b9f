"""Near-duplicate images, and leaks between splits."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from auxface.data.leaks import (
    decode_thumbnail,
    encode_thumbnail,
    find_leaks,
    find_near_duplicates,
    of_different_sources,
    thumbnail,
)
from auxface.data.manifest import sources_in_several_splits
from auxface.data.synthetic import render_faces


@pytest.fixture(scope="module")
def faces():
    return list(render_faces(400, seed=31, size=96).images)


def recompressed(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=40)
    return np.asarray(Image.open(buffer))


CHANGES = {
    "compressed": recompressed,
    "resized": lambda image: np.asarray(Image.fromarray(image).resize((48, 48))),
    "gray": lambda image: np.asarray(Image.fromarray(image).convert("L").convert("RGB")),
    "brighter": lambda image: np.clip(image * 1.05 + 6, 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_other_faces_not(faces, change):
    copies = [CHANGES[change](image) for image in faces[:40]]
    found = find_near_duplicates(np.stack([thumbnail(image) for image in faces + copies]))
    pairs = set(zip(found["first"], found["second"]))
    assert len(pairs & {(row, 400 + row) for row in range(40)}) >= 38
    assert len(pairs - {(row, 400 + row) for row in range(40)}) == 0


def test_equal_images_are_each_paired_with_the_first(faces):
    thumbnails = np.stack([thumbnail(faces[at]) for at in (3, 5, 3, 7, 3, 5)])
    found = find_near_duplicates(thumbnails)
    assert list(zip(found["first"], found["second"])) == [(0, 2), (0, 4), (1, 5)]
    assert (found["correlation"] == 1).all()


def test_few_or_uniform_images_are_compared():
    assert find_near_duplicates(np.zeros((0, 16, 16), np.uint8)).empty
    assert find_near_duplicates(np.zeros((1, 16, 16), np.uint8)).empty
    assert len(find_near_duplicates(np.zeros((3, 16, 16), np.uint8))) == 2


def test_a_thumbnail_survives_encoding(faces):
    pixels = thumbnail(faces[0])
    assert np.array_equal(decode_thumbnail(encode_thumbnail(pixels)), pixels)


def test_leaks_equal_those_of_a_plain_count():
    table = pd.DataFrame({"split": ["train", "train", "test", "val"], "dataset": "d", "source": ["a", "b", "a", "c"]})
    copies = pd.DataFrame({"first": [0, 0, 1], "second": [1, 2, 3], "correlation": 1.0})
    leaks = find_leaks(table, copies)
    assert leaks.sources.to_dict("records") == [{"dataset": "d", "source": "a", "splits": "train test", "rows": 2}]
    assert leaks.images[["first", "second"]].to_numpy().tolist() == [[0, 2], [1, 3]]
    assert of_different_sources(table, copies)[["first", "second"]].to_numpy().tolist() == [[0, 1], [1, 3]]
    assert sources_in_several_splits(table.iloc[:2]).empty
