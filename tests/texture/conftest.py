"""Images on which every descriptor is compared with its definition."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

Images = Callable[[int], Iterator[np.ndarray]]


@pytest.fixture(scope="session")
def images() -> Images:
    """``images(smallest)``: uint8 images whose sides are at least ``smallest``, one of them exactly that."""
    from skimage.data import camera

    def made(smallest: int) -> Iterator[np.ndarray]:
        rng = np.random.default_rng(smallest)
        shape = (smallest + 4, smallest + 9)
        yield rng.integers(0, 256, (smallest, smallest + 2), dtype=np.uint8)
        yield rng.integers(0, 256, (shape[0] | 1, shape[1] | 1), dtype=np.uint8)
        yield 20 * rng.integers(0, 4, shape, dtype=np.uint8)
        yield 255 * rng.integers(0, 2, shape, dtype=np.uint8)
        yield np.full(shape, 77, np.uint8)
        yield np.zeros(shape, np.uint8)
        yield camera()[200 : 200 + shape[0], 231 : 231 + shape[1]]
        yield np.add.outer(3 * np.arange(shape[0]), 8 * np.arange(shape[1])).clip(0, 255).astype(np.uint8)

    return made
