"""Properties that descriptors have on every image."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from auxface import texture

SHIFT_FREE: list[tuple[str, dict[str, object]]] = [
    ("local_binary_pattern", {"points": 8, "radius": 1}),
    ("local_binary_pattern", {"points": 16, "radius": 2, "method": "uniform"}),
    ("local_binary_pattern", {"points": 10, "radius": 1.5, "method": "var"}),
    ("local_directional_pattern", {}),
    ("local_directional_number", {}),
    ("local_ternary_pattern", {}),
    ("center_symmetric_lbp", {}),
    ("local_derivative_pattern", {}),
    ("census_transform", {"window": 5}),
    ("local_gradient_pattern", {}),
    ("gabor_magnitude", {"min_wavelength": 2, "scales": 1}),
]


def images(high: int = 255, square: bool = False) -> st.SearchStrategy[np.ndarray]:
    """Random images, many of them of few gray levels, so that ties are common."""
    side = st.integers(7, 20)
    shapes = side.map(lambda n: (n, n)) if square else st.tuples(side, side)
    levels = st.sampled_from([2, 5, high + 1])

    def of(shape: tuple[int, int], count: int) -> st.SearchStrategy[np.ndarray]:
        step = high // (count - 1)
        return arrays(np.uint8, shape, elements=st.integers(0, count - 1).map(lambda level: level * step))

    return st.tuples(shapes, levels).flatmap(lambda drawn: of(*drawn))


def maps(image: np.ndarray, name: str, **parameters: object) -> np.ndarray:
    return np.asarray(texture.describe(image, name, **parameters))


@pytest.mark.parametrize(("name", "parameters"), SHIFT_FREE)
@settings(max_examples=15, deadline=None)
@given(image=images(high=200), constant=st.integers(1, 55))
def test_adding_a_constant_keeps_the_maps(name: str, parameters: dict, image: np.ndarray, constant: int) -> None:
    one, other = maps(image, name, **parameters), maps(image + np.uint8(constant), name, **parameters)
    allowed = 1e-3 if name == "gabor_magnitude" else 0
    np.testing.assert_allclose(one, other, rtol=0, atol=allowed)


@settings(max_examples=15, deadline=None)
@given(image=images(high=200), constant=st.integers(1, 55), window=st.sampled_from([3, 5, 7]))
def test_adding_a_constant_keeps_the_phases(image: np.ndarray, constant: int, window: int) -> None:
    # The threshold is a value that no sum of a few integers times cosines takes.
    eps = 0.012345
    one = maps(image, "local_phase_quantization", window=window, eps=eps)
    other = maps(image + np.uint8(constant), "local_phase_quantization", window=window, eps=eps)
    np.testing.assert_array_equal(one, other)


@settings(max_examples=25, deadline=None)
@given(image=images(), seed=st.integers(0, 1000))
def test_monotone_gray_changes_keep_codes(image: np.ndarray, seed: int) -> None:
    """A monotone gray change: levels may move by any amount, as long as their order stays."""
    found, ranks = np.unique(image, return_inverse=True)
    moved = np.sort(np.random.default_rng(seed).choice(256, len(found), replace=False))
    changed = moved[ranks].reshape(image.shape).astype(np.uint8)
    for window in (3, 5):
        np.testing.assert_array_equal(
            maps(image, "census_transform", window=window), maps(changed, "census_transform", window=window)
        )
    # Samples of four points at radius 1 are pixels, so no interpolation mixes the gray levels.
    for method in ("default", "ror", "uniform", "nri_uniform"):
        np.testing.assert_array_equal(
            maps(image, "local_binary_pattern", points=4, method=method),
            maps(changed, "local_binary_pattern", points=4, method=method),
        )


@settings(max_examples=25, deadline=None)
@given(image=images(high=85), gain=st.sampled_from([2, 3]))
def test_linear_gray_changes_keep_binary_patterns(image: np.ndarray, gain: int) -> None:
    changed = image * np.uint8(gain)
    for points, radius in ((8, 1), (16, 2)):
        np.testing.assert_array_equal(
            maps(image, "local_binary_pattern", points=points, radius=radius),
            maps(changed, "local_binary_pattern", points=points, radius=radius),
        )


def turn_left(codes: np.ndarray, places: int, bits: int) -> np.ndarray:
    wide = codes.astype(np.int64)
    return ((wide << places) | (wide >> (bits - places))) & ((1 << bits) - 1)


@settings(max_examples=25, deadline=None)
@given(image=images(), circle=st.sampled_from([(8, 1), (4, 1), (16, 2), (12, 1.5), (24, 3), (20, 2.3)]))
def test_a_quarter_turn_rotates_the_map(image: np.ndarray, circle: tuple[int, float]) -> None:
    points, radius = circle
    turned = np.rot90(image).copy()
    for method in ("ror", "uniform", "var", "default"):
        before = np.rot90(maps(image, "local_binary_pattern", points=points, radius=radius, method=method))
        after = maps(turned, "local_binary_pattern", points=points, radius=radius, method=method)
        if method == "default":
            before = turn_left(before, points // 4, points)
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-9 if method == "var" else 0)
    gradient = np.rot90(maps(image, "local_gradient_pattern"))
    np.testing.assert_array_equal(maps(turned, "local_gradient_pattern"), turn_left(gradient, 2, 8))


@settings(max_examples=25, deadline=None)
@given(image=images(), k=st.integers(1, 8))
def test_every_directional_pattern_has_k_bits(image: np.ndarray, k: int) -> None:
    codes = maps(image, "local_directional_pattern", k=k)
    assert (np.unpackbits(codes[..., None], axis=-1).sum(-1) == k).all()


@settings(max_examples=25, deadline=None)
@given(image=images())
def test_inverting_keeps_or_swaps_codes(image: np.ndarray) -> None:
    inverted = 255 - image
    for name in ("local_directional_pattern", "local_derivative_pattern", "local_gradient_pattern"):
        np.testing.assert_array_equal(maps(image, name), maps(inverted, name))
    upper, lower = maps(image, "local_ternary_pattern")
    assert not (upper & lower).any()
    np.testing.assert_array_equal(maps(inverted, "local_ternary_pattern"), [lower, upper])


@settings(max_examples=15, deadline=None)
@given(image=images())
def test_valid_maps_are_the_interior_of_reflect(image: np.ndarray) -> None:
    for name, parameters, radius in (
        ("local_binary_pattern", {"points": 16, "radius": 2}, 2),
        ("local_directional_number", {}, 1),
        ("local_phase_quantization", {"window": 5, "eps": 0.012345}, 2),
        ("weber_local_descriptor", {}, 1),
        ("local_derivative_pattern", {}, 2),
        ("census_transform", {"window": 7}, 3),
    ):
        complete, inside = maps(image, name, **parameters), maps(image, name, border="valid", **parameters)
        np.testing.assert_array_equal(inside, complete[..., radius:-radius, radius:-radius])


@settings(max_examples=15, deadline=None)
@given(value=st.integers(0, 255), rows=st.integers(16, 20), columns=st.integers(16, 20))
def test_a_flat_image_has_the_code_of_ties(value: int, rows: int, columns: int) -> None:
    image = np.full((rows, columns), value, np.uint8)
    for name, expected in (
        ("local_binary_pattern", 255),
        ("local_directional_pattern", 7),
        ("local_directional_number", 0),
        ("local_ternary_pattern", 0),
        ("center_symmetric_lbp", 0),
        ("local_phase_quantization", 0),
        ("weber_local_descriptor", 4),
        ("local_derivative_pattern", 255),
        ("census_transform", 0),
        ("local_gradient_pattern", 255),
        ("histogram_of_oriented_gradients", 0),
    ):
        assert (maps(image, name) == expected).all(), name
    assert not maps(image, "local_binary_pattern", method="var").any()
    assert not maps(image, "weber_local_descriptor", output="excitation").any()
    assert maps(image, "gabor_magnitude").max() < 1e-3


@pytest.mark.parametrize("name", list(texture.available()))
@pytest.mark.parametrize("split", [1, 3])
def test_maps_do_not_depend_on_the_batch(name: str, split: int) -> None:
    shape = (7, 4, 30, 33) if texture.get(name).input == "clip" else (7, 61, 47)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(split))
    complete = texture.describe(images, name)
    parts = torch.cat([texture.describe(part, name) for part in images.split(split)])
    turned = texture.describe(images.transpose(-1, -2).contiguous().transpose(-1, -2), name)
    allowed = 1e-3 if name == "gabor_magnitude" else 0
    torch.testing.assert_close(parts, complete, rtol=0, atol=allowed)
    torch.testing.assert_close(turned, complete, rtol=0, atol=allowed)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(texture.available()))
def test_compiled_descriptors_give_the_same_maps(name: str) -> None:
    shape = (2, 5, 21, 23) if texture.get(name).input == "clip" else (3, 37, 41)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    torch.compiler.reset()
    compiled = torch.compile(texture.get(name).function)
    # Real numbers may be added in another order; codes are the same.
    allowed = {"gabor_magnitude": 1e-3, "histogram_of_oriented_gradients": 1e-6}.get(name, 0)
    torch.testing.assert_close(compiled(images), texture.describe(images, name), rtol=0, atol=allowed)
