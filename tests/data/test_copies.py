"""Copies under other names, and what must not be in two splits."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from auxface.data.copies import find_copies, from_text, look, to_text
from auxface.data.leaks import different_sources, find_leaks, spread_sources
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
    "smaller": lambda image: np.asarray(Image.fromarray(image).resize((48, 48))),
    "gray": lambda image: np.asarray(Image.fromarray(image).convert("L").convert("RGB")),
    "brighter": lambda image: np.clip(image * 1.05 + 6, 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_other_faces_are_not(faces, change):
    copies = [CHANGES[change](image) for image in faces[:40]]
    found = find_copies(np.stack([look(image) for image in faces + copies]))
    pairs = set(zip(found["first"], found["second"]))
    assert len(pairs & {(row, 400 + row) for row in range(40)}) >= 38
    assert len(pairs - {(row, 400 + row) for row in range(40)}) == 0


def test_exact_copies_are_each_paired_with_the_first(faces):
    looks = np.stack([look(faces[at]) for at in (3, 5, 3, 7, 3, 5)])
    found = find_copies(looks)
    assert list(zip(found["first"], found["second"])) == [(0, 2), (0, 4), (1, 5)]
    assert (found["likeness"] == 1).all()


def test_few_or_flat_images_are_no_trouble():
    assert find_copies(np.zeros((0, 16, 16), np.uint8)).empty
    assert find_copies(np.zeros((1, 16, 16), np.uint8)).empty
    assert len(find_copies(np.zeros((3, 16, 16), np.uint8))) == 2


def test_a_look_survives_the_journal(faces):
    seen = look(faces[0])
    assert np.array_equal(from_text(to_text(seen)), seen)


def test_leaks_by_hand():
    table = pd.DataFrame({"split": ["train", "train", "test", "val"], "dataset": "d", "source": ["a", "b", "a", "c"]})
    copies = pd.DataFrame({"first": [0, 0, 1], "second": [1, 2, 3], "likeness": 1.0})
    leaks = find_leaks(table, copies)
    assert leaks.sources.to_dict("records") == [{"dataset": "d", "source": "a", "splits": "train test", "rows": 2}]
    assert leaks.images[["first", "second"]].to_numpy().tolist() == [[0, 2], [1, 3]]
    assert different_sources(table, copies)[["first", "second"]].to_numpy().tolist() == [[0, 1], [1, 3]]
    assert spread_sources(table.iloc[:2]).empty
