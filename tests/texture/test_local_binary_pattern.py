"""Local binary patterns against the plain definition in integers, and against scikit-image."""

from math import ceil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.data import astronaut, camera
from skimage.feature import local_binary_pattern as of_scikit_image

from auxface import texture
from auxface.texture import tiles
from auxface.texture.lbp_top import plain_lbp_top
from auxface.texture.local_binary_pattern import METHODS, plain_local_binary_pattern
from auxface.texture.local_binary_pattern_square import square_codes
from auxface.texture.tiles import map_pixels

CIRCLES = [(8, 1), (4, 1), (8, 1.5), (5, 2.25), (12, 1), (16, 2), (24, 3), (10, 0.5), (15, 2.7), (17, 3), (1, 1)]


def expected(image: np.ndarray, points: int, radius: float, border: str, method: str) -> np.ndarray:
    """Return the map by the plain definition."""
    support = ceil(radius)
    padded = np.pad(image, support, mode="reflect") if border == "reflect" else image
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * support + 1,) * 2)
    return np.array([[plain_local_binary_pattern(window, points, radius, method) for window in row] for row in windows])


def check(found: np.ndarray, target: np.ndarray, method: str) -> None:
    if method == "var":
        np.testing.assert_allclose(found, target, rtol=1e-9, atol=1e-9)
    else:
        np.testing.assert_array_equal(found, target, err_msg=method)


@pytest.mark.parametrize(("points", "radius"), CIRCLES)
@pytest.mark.parametrize("border", ["reflect", "valid"])
def test_any_circle_equals_the_plain_definition(images, points: int, radius: float, border: str) -> None:
    for image in images(ceil(radius) * (2 if border == "valid" else 1) + 1):
        for method in METHODS:
            found = texture.describe(
                image, "local_binary_pattern", points=points, radius=radius, method=method, border=border
            )
            check(found, expected(image, points, radius, border, method), method)


@pytest.mark.parametrize("points", [20, 30, 31])
def test_codes_of_many_points_equal_the_plain_definition(points: int) -> None:
    image = camera()[100:109, 200:213]
    for method in METHODS:
        found = texture.local_binary_pattern(image, points=points, radius=2, method=method)
        check(found, expected(image, points, 2, "reflect", method), method)


def test_kernels_of_the_square_are_exact_for_all_diagonals() -> None:
    """Both kernels of 8 samples at radius 1, on every pair of center and diagonal neighbor."""
    rng = np.random.default_rng(0)
    center, diagonal = (grid.ravel() for grid in np.meshgrid(np.arange(256), np.arange(256)))
    weight = 70711
    rest = 100_000 - weight
    # The two straight neighbors that bring the sample as close to the center as integers allow.
    balance = center - weight * (diagonal - center) // rest // 2
    up = (balance + rng.integers(-2, 3, center.shape)).clip(0, 255)
    right = (balance + rng.integers(-2, 3, center.shape)).clip(0, 255)
    image = np.zeros((len(center), 3, 3), np.uint8)
    image[:, 1, 1], image[:, 0, 2], image[:, 0, 1], image[:, 1, 2] = center, diagonal, up, right
    sample = weight**2 * diagonal + weight * rest * (up + right) + rest**2 * center
    images = torch.from_numpy(image)
    on_cpu = texture.local_binary_pattern(images, border="valid")
    anywhere = map_pixels(
        images,
        lambda tile: [square_codes(tile)],
        radius=1,
        border="valid",
        maps=1,
        dtype=torch.uint8,
        bytes_per_pixel=28,
    )
    for codes in (on_cpu[:, 0, 0], anywhere[:, 0, 0, 0]):
        np.testing.assert_array_equal((codes.numpy() >> 1) & 1, sample >= 10**10 * center)


def test_ties_of_all_gray_values_are_reached() -> None:
    flat = np.repeat(np.arange(256, dtype=np.uint8), 9).reshape(256, 3, 3)
    assert (texture.local_binary_pattern(flat, border="valid") == 255).all()


@pytest.mark.parametrize("cache", [1 << 16, 1 << 20])
@pytest.mark.parametrize("name", ["local_binary_pattern", "local_directional_pattern", "gabor_magnitude"])
def test_threads_and_tile_sizes_keep_the_codes(monkeypatch, cache: int, name: str) -> None:
    images = torch.randint(0, 256, (9, 230, 231), dtype=torch.uint8, generator=torch.Generator().manual_seed(cache))
    expected = torch.cat([texture.describe(image[None], name) for image in images])
    monkeypatch.setattr(tiles, "cache_bytes", lambda: cache)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found = texture.describe(images, name)
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3 if name == "gabor_magnitude" else 0)


def equals_scikit_image(image: np.ndarray, points: int, radius: float) -> None:
    for method in METHODS:
        target = of_scikit_image(image, points, radius, method)
        found = texture.describe(
            image, "local_binary_pattern", points=points, radius=radius, method=method, border="skimage"
        )
        np.testing.assert_array_equal(np.asarray(found, np.float64), target, err_msg=method)


@settings(max_examples=60, deadline=None)
@given(
    image=st.tuples(st.integers(1, 19), st.integers(1, 23)).flatmap(lambda shape: arrays(np.uint8, shape)),
    points=st.integers(2, 24),
    radius=st.sampled_from([1, 2, 3]) | st.floats(0.3, 3.4).map(lambda value: round(value, 3)),
)
def test_equals_scikit_image_on_any_image(image: np.ndarray, points: int, radius: float) -> None:
    equals_scikit_image(image, points, radius)


@pytest.mark.parametrize(("points", "radius"), [(8, 1), (16, 2), (24, 3), (12, 1.5)])
def test_equals_scikit_image_on_photographs(points: int, radius: float) -> None:
    equals_scikit_image(camera()[101:234, 150:347], points, radius)
    equals_scikit_image(texture.gray(astronaut()[3:120, 170:301]), points, radius)


@pytest.mark.parametrize("border", ["reflect", "valid"])
@pytest.mark.parametrize(("points", "radius"), [(8, 1), (6, 1.5), (16, 2)])
def test_lbp_top_equals_the_plain_definition(border: str, points: int, radius: float) -> None:
    support = ceil(radius)
    shape = tuple(2 * support + extra for extra in (1, 3, 4))
    rng = np.random.default_rng(points)
    for clip in (rng.integers(0, 256, shape, dtype=np.uint8), 60 * rng.integers(0, 3, shape, dtype=np.uint8)):
        padded = np.pad(clip, support, mode="reflect") if border == "reflect" else clip
        windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * support + 1,) * 3)
        for method in METHODS:
            target = np.empty((3, *windows.shape[:3]))
            for voxel in np.ndindex(*windows.shape[:3]):
                target[(slice(None), *voxel)] = plain_lbp_top(windows[voxel], points, radius, method)
            check(texture.lbp_top(clip, points=points, radius=radius, method=method, border=border), target, method)
