"""Local binary patterns against their definition, pixel by pixel in whole numbers, and against scikit-image."""

from math import ceil, cos, pi, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.data import astronaut, camera
from skimage.feature import local_binary_pattern as of_scikit_image

from auxface import texture

METHODS = ("default", "ror", "uniform", "nri_uniform", "var")
CIRCLES = [(8, 1), (4, 1), (8, 1.5), (5, 2.25), (12, 1), (16, 2), (24, 3), (10, 0.5), (15, 2.7), (17, 3), (1, 1)]


def samples(padded: np.ndarray, row: int, column: int, points: int, radius: float) -> list[int]:
    """Bilinear samples around a pixel, in units of 1e-10, as Python integers."""
    unit, found = 10**5, []
    for i in range(points):
        down = round(-radius * sin(2 * pi * i / points) * unit)
        right = round(radius * cos(2 * pi * i / points) * unit)
        (r, fr), (c, fc) = divmod(down, unit), divmod(right, unit)
        total = 0
        for dr, wr in ((0, unit - fr), (1, fr)):
            for dc, wc in ((0, unit - fc), (1, fc)):
                if wr * wc:
                    total += wr * wc * int(padded[row + r + dr, column + c + dc])
        found.append(total)
    return found


def value(bits: list[int], sampled: list[int], method: str) -> float:
    points, ones = len(bits), sum(bits)
    if method == "var":
        gray = np.array(sampled) / 1e10
        return float(gray.var())
    if method == "default":
        return sum(bit << i for i, bit in enumerate(bits))
    if method == "ror":
        return min(sum(bits[(i + turn) % points] << i for i in range(points)) for turn in range(points))
    changes = sum(bits[i] != bits[i - 1] for i in range(points))
    if method == "uniform":
        return ones if changes <= 2 else points + 1
    if ones == 0:
        return 0
    if ones == points:
        return points * (points - 1) + 1
    if changes > 2:
        return points * (points - 1) + 2
    start = next(i for i in range(points) if bits[i] and not bits[i - 1])
    return 1 + (ones - 1) * points + (points - start) % points


def expected(image: np.ndarray, points: int, radius: float, border: str) -> dict[str, np.ndarray]:
    """The maps of every method."""
    support = ceil(radius)
    padded = np.pad(image, support, mode="reflect") if border == "reflect" else image
    rows, columns = padded.shape[0] - 2 * support, padded.shape[1] - 2 * support
    maps = {method: np.empty((rows, columns)) for method in METHODS}
    for r in range(rows):
        for c in range(columns):
            sampled = samples(padded, r + support, c + support, points, radius)
            center = 10**10 * int(padded[r + support, c + support])
            bits = [int(s >= center) for s in sampled]
            for method in METHODS:
                maps[method][r, c] = value(bits, sampled, method)
    return maps


@pytest.mark.parametrize(("points", "radius"), CIRCLES)
@pytest.mark.parametrize("border", ["reflect", "valid"])
def test_circle(images, points: int, radius: float, border: str) -> None:
    for image in images(ceil(radius) * (2 if border == "valid" else 1) + 1):
        for method, wanted in expected(image, points, radius, border).items():
            found = texture.describe(
                image, "local_binary_pattern", points=points, radius=radius, method=method, border=border
            )
            if method == "var":
                np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
            else:
                np.testing.assert_array_equal(found, wanted, err_msg=method)


@pytest.mark.parametrize("points", [20, 30, 31])
def test_many_points(points: int) -> None:
    image = camera()[100:109, 200:213]
    for method, wanted in expected(image, points, 2, "reflect").items():
        found = texture.local_binary_pattern(image, points=points, radius=2, method=method)
        np.testing.assert_allclose(found, wanted, rtol=1e-9 if method == "var" else 0, atol=1e-9, err_msg=method)


def test_all_pairs_of_a_diagonal() -> None:
    """The short-cut of eight samples at radius 1, on every pair of center and diagonal neighbor."""
    rng = np.random.default_rng(0)
    center, diagonal = (grid.ravel() for grid in np.meshgrid(np.arange(256), np.arange(256)))
    weight = 70711
    rest = 100_000 - weight
    # The two straight neighbors that bring the sample as near to the center as whole numbers allow.
    balance = center - weight * (diagonal - center) // rest // 2
    up = (balance + rng.integers(-2, 3, center.shape)).clip(0, 255)
    right = (balance + rng.integers(-2, 3, center.shape)).clip(0, 255)
    image = np.zeros((len(center), 3, 3), np.uint8)
    image[:, 1, 1], image[:, 0, 2], image[:, 0, 1], image[:, 1, 2] = center, diagonal, up, right
    sample = weight**2 * diagonal + weight * rest * (up + right) + rest**2 * center
    codes = texture.local_binary_pattern(image, border="valid")[:, 0, 0]
    np.testing.assert_array_equal((codes >> 1) & 1, sample >= 10**10 * center)


def equals_scikit_image(image: np.ndarray, points: int, radius: float) -> None:
    for method in METHODS:
        wanted = of_scikit_image(image, points, radius, method)
        found = texture.describe(
            image, "local_binary_pattern", points=points, radius=radius, method=method, border="skimage"
        )
        np.testing.assert_array_equal(np.asarray(found, np.float64), wanted, err_msg=method)


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
def test_three_planes(border: str, points: int, radius: float) -> None:
    support = ceil(radius)
    shape = tuple(2 * support + extra for extra in (1, 3, 4))
    rng = np.random.default_rng(points)
    for clip in (rng.integers(0, 256, shape, dtype=np.uint8), 60 * rng.integers(0, 3, shape, dtype=np.uint8)):
        padded = np.pad(clip, support, mode="reflect") if border == "reflect" else clip
        inside = [slice(support, side - support) for side in padded.shape]
        frames, rows, columns = padded.shape
        wanted = {method: [] for method in METHODS}
        for method in METHODS:
            xy = [expected(padded[t], points, radius, "valid")[method] for t in range(frames)]
            xt = [expected(padded[:, y], points, radius, "valid")[method] for y in range(rows)]
            yt = [expected(padded[:, :, x], points, radius, "valid")[method] for x in range(columns)]
            wanted[method] = np.stack(
                [
                    np.stack(xy, axis=0)[inside[0]],
                    np.stack(xt, axis=1)[:, inside[1]],
                    np.stack(yt, axis=2)[:, :, inside[2]],
                ]
            )
        for method in METHODS:
            found = texture.lbp_top(clip, points=points, radius=radius, method=method, border=border)
            np.testing.assert_allclose(found, wanted[method], rtol=0, atol=1e-9 if method == "var" else 0)
