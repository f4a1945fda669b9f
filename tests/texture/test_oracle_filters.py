"""Gabor magnitudes, histograms of oriented gradients and the target encodings against their definitions."""

from math import ceil, cos, pi, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.data import astronaut, camera
from skimage.feature import hog

from auxface import texture


def gabor_pair(wavelength: float, angle: float) -> tuple[np.ndarray, np.ndarray]:
    sigma = 0.56 * wavelength
    reach = ceil(3 * sigma)
    i, j = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    wave = 2 * pi * (j * cos(angle) - i * sin(angle)) / wavelength
    gauss = np.exp(-(i**2 + j**2) / (2 * sigma**2))
    mean = (gauss * np.cos(wave)).sum() / gauss.sum()
    return 2 * gauss * (np.cos(wave) - mean) / gauss.sum(), 2 * gauss * np.sin(wave) / gauss.sum()


@pytest.mark.parametrize(
    ("scales", "orientations", "wavelength"),
    [(3, 4, 4), (1, 1, 2), (2, 3, 2.5), (1, 5, 3), (2, 6, 4), (4, 2, 2), (1, 7, 6.3), (1, 16, 3)],
)
def test_gabor(images, scales: int, orientations: int, wavelength: float) -> None:
    reach = max(ceil(3 * 0.56 * wavelength * 2 ** (s / 2)) for s in range(scales))
    for image in images(reach + 1):
        found = texture.describe(
            image, "gabor_magnitude", scales=scales, orientations=orientations, min_wavelength=wavelength
        )
        assert found.shape == (scales * orientations, *image.shape)
        for s in range(scales):
            for k in range(orientations):
                even, odd = gabor_pair(wavelength * 2 ** (s / 2), pi * k / orientations)
                padded = np.pad(image, len(even) // 2, mode="reflect").astype(np.float64)
                windows = np.lib.stride_tricks.sliding_window_view(padded, even.shape)
                real = np.einsum("rcij,ij->rc", windows, even)
                imaginary = np.einsum("rcij,ij->rc", windows, odd)
                wanted = np.hypot(real, imaginary)
                np.testing.assert_allclose(found[s * orientations + k], wanted, rtol=0, atol=1e-3)


def test_gabor_answers_a_matching_wave_with_its_amplitude() -> None:
    columns = np.arange(96)
    image = np.tile(np.round(128 + 100 * np.cos(2 * pi * columns / 8)), (64, 1)).astype(np.uint8)
    found = texture.gabor_magnitude(image, scales=3, orientations=4, min_wavelength=4)
    assert found[2 * 4, 24:40, 24:72] == pytest.approx(100, abs=0.6)


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
    wanted = scikit_image_hog(image, orientations, cell, block)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    image=st.tuples(st.integers(16, 40), st.integers(16, 43)).flatmap(lambda shape: arrays(np.uint8, shape)),
    orientations=st.sampled_from([1, 4, 6, 8, 9, 12, 18]),
    cell=st.integers(3, 8),
    block=st.integers(1, 2),
)
def test_hog_equals_scikit_image_on_any_image(image: np.ndarray, orientations: int, cell: int, block: int) -> None:
    equals_hog(image, orientations, cell, block)


@pytest.mark.parametrize("orientations", [5, 8, 9, 12])
@pytest.mark.parametrize(("cell", "block"), [(4, 1), (8, 1), (8, 2), (7, 3), (1, 2)])
def test_hog_equals_scikit_image(images, orientations: int, cell: int, block: int) -> None:
    for image in images(max(cell * block, 3)):
        equals_hog(image, orientations, cell, block)
    equals_hog(camera()[101:234, 150:347], orientations, cell, block)
    equals_hog(texture.gray(astronaut()[3:120, 170:301]), orientations, cell, block)


@pytest.mark.parametrize("bits", [1, 4, 8, 24, 48])
def test_bits(bits: int) -> None:
    codes = np.random.default_rng(bits).integers(0, 1 << bits, (2, 3, 5, 7))
    found = texture.encode(codes, "bits", n_codes=1 << bits, maps=3)
    assert found.shape == (2, 3 * bits, 5, 7)
    for m in range(3):
        for b in range(bits):
            np.testing.assert_array_equal(found[:, m * bits + b], codes[:, m] // 2**b % 2)
    np.testing.assert_array_equal(texture.encode(codes[0, 0], "bits", n_codes=1 << bits), found[0, :bits])


@pytest.mark.parametrize(
    ("n_codes", "n_bins"), [(10, None), (59, None), (256, 16), (59, 7), (1 << 24, None), (1 << 48, 32768), (8, 20)]
)
def test_histogram(n_codes: int, n_bins: int | None) -> None:
    codes = np.random.default_rng(n_codes % 97).integers(0, n_codes, (2, 12, 20))
    codes[0, 0, 0], codes[0, 0, 1] = n_codes - 1, 0
    found = texture.encode(codes, "histogram", n_codes=n_codes, patch=4, n_bins=n_bins)
    bins = min(n_codes, 256) if n_bins is None else n_bins
    wanted = np.zeros((2, 3, 5, bins))
    for (b, r, c), code in np.ndenumerate(codes):
        wanted[b, r // 4, c // 4, int(code) * bins // n_codes] += 1 / 16
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=0, atol=1e-5)


def test_histograms_of_several_maps_stand_side_by_side() -> None:
    image = np.random.default_rng(3).integers(0, 256, (16, 24), dtype=np.uint8)
    codes = texture.local_ternary_pattern(image)
    found = texture.encode_target(codes, "local_ternary_pattern", "histogram", patch=8)
    parts = [texture.encode(codes[m], "histogram", n_codes=256, patch=8) for m in range(2)]
    np.testing.assert_array_equal(found, np.concatenate(parts, axis=-1))


@pytest.mark.parametrize("n_codes", [2, 10, 256, 1 << 24, 1 << 31, 1 << 48])
def test_scalar(n_codes: int) -> None:
    codes = np.random.default_rng(n_codes % 97).integers(0, n_codes, (5, 7))
    codes[0, :2] = 0, n_codes - 1
    found = texture.encode(codes, "scalar", n_codes=n_codes)
    np.testing.assert_allclose(found, codes / (n_codes - 1), rtol=0, atol=1e-6)
    assert found.dtype == np.float32
    assert found.min() == 0
    assert found.max() == 1


def test_scalars_of_real_maps() -> None:
    image = camera()[100:140, 200:260]
    for name, parameters, low, high in (
        ("weber_local_descriptor", {"output": "excitation"}, -pi / 2, pi / 2),
        ("local_binary_pattern", {"method": "var"}, 0, 127.5**2),
        ("gabor_magnitude", {}, 0, 255),
        ("histogram_of_oriented_gradients", {}, 0, 1),
    ):
        maps = texture.describe(image, name, **parameters)
        found = texture.encode_target(maps, name, "scalar", **parameters)
        np.testing.assert_allclose(found.reshape(maps.shape), (maps - low) / (high - low), rtol=0, atol=1e-6)
        for encoding in ("bits", "histogram"):
            with pytest.raises(ValueError, match="scalar"):
                texture.encode_target(maps, name, encoding, patch=4, **parameters)
    for name, parameters in (("weber_local_descriptor", {}), ("local_binary_pattern", {"method": "uniform"})):
        with pytest.raises(ValueError, match="not bits"):
            texture.encode_target(texture.describe(image, name, **parameters), name, "bits", **parameters)


def test_a_patch_must_divide_both_sides() -> None:
    with pytest.raises(ValueError, match="16 x 20"):
        texture.encode(np.zeros((16, 20), np.uint8), "histogram", n_codes=256, patch=8)
