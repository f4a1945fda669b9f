"""Histograms of oriented gradients against scikit-image and their plain definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.data import astronaut, camera
from skimage.feature import hog

from auxface import texture
from auxface.texture.histogram_of_oriented_gradients import plain_block_norm, plain_cell_histogram


def scikit_image_hog(image: np.ndarray, orientations: int, cell: int, block: int) -> np.ndarray:
    return hog(
        image,
        orientations=orientations,
        pixels_per_cell=(cell, cell),
        cells_per_block=(block, block),
        block_norm="L2-Hys",
        feature_vector=False,
    )


def equals_hog(image: np.ndarray, orientations: int, cell: int, block: int) -> None:
    found = texture.describe(
        image, "histogram_of_oriented_gradients", orientations=orientations, cell=cell, block=block
    )
    target = scikit_image_hog(image, orientations, cell, block)
    np.testing.assert_allclose(found, target, rtol=0, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    image=st.tuples(st.integers(16, 40), st.integers(16, 43)).flatmap(lambda shape: arrays(np.uint8, shape)),
    orientations=st.sampled_from([1, 4, 6, 8, 9, 12, 18]),
    cell=st.integers(3, 8),
    block=st.integers(1, 2),
)
def test_equals_scikit_image_on_any_image(image: np.ndarray, orientations: int, cell: int, block: int) -> None:
    equals_hog(image, orientations, cell, block)


@pytest.mark.parametrize("orientations", [5, 8, 9, 12])
@pytest.mark.parametrize(("cell", "block"), [(4, 1), (8, 1), (8, 2), (7, 3), (1, 2)])
def test_equals_scikit_image(images, orientations: int, cell: int, block: int) -> None:
    for image in images(max(cell * block, 3)):
        equals_hog(image, orientations, cell, block)
    equals_hog(camera()[101:234, 150:347], orientations, cell, block)
    equals_hog(texture.gray(astronaut()[3:120, 170:301]), orientations, cell, block)


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize("orientations", [4, 9])
def test_a_block_equals_the_plain_definition(orientations: int, block: int) -> None:
    image, cell = camera()[100:140, 200:240], 8
    found = texture.histogram_of_oriented_gradients(image, orientations=orientations, cell=cell, block=block)
    histograms = np.array(
        [
            [
                plain_cell_histogram(image[r - 1 : r + cell + 1, c - 1 : c + cell + 1], orientations)
                for c in range(cell, cell * (1 + block), cell)
            ]
            for r in range(cell, cell * (1 + block), cell)
        ]
    )
    np.testing.assert_allclose(found[1, 1], plain_block_norm(histograms), rtol=0, atol=1e-5)
