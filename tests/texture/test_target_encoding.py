"""Target encodings against their definitions."""

from math import pi

import numpy as np
import pytest
from skimage.data import camera

from auxface import texture


@pytest.mark.parametrize("bits", [1, 4, 8, 24, 48])
def test_bits_are_planes_of_the_codes(bits: int) -> None:
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
def test_histograms_count_codes_per_patch(n_codes: int, n_bins: int | None) -> None:
    codes = np.random.default_rng(n_codes % 97).integers(0, n_codes, (2, 12, 20))
    codes[0, 0, 0], codes[0, 0, 1] = n_codes - 1, 0
    found = texture.encode(codes, "histogram", n_codes=n_codes, patch=4, n_bins=n_bins)
    bins = min(n_codes, 256) if n_bins is None else n_bins
    target = np.zeros((2, 3, 5, bins))
    for (b, r, c), code in np.ndenumerate(codes):
        target[b, r // 4, c // 4, int(code) * bins // n_codes] += 1 / 16
    np.testing.assert_allclose(found, target, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=0, atol=1e-5)


def test_histograms_of_several_maps_are_concatenated() -> None:
    image = np.random.default_rng(3).integers(0, 256, (16, 24), dtype=np.uint8)
    codes = texture.local_ternary_pattern(image)
    found = texture.encode_target(codes, "local_ternary_pattern", "histogram", patch=8)
    parts = [texture.encode(codes[m], "histogram", n_codes=256, patch=8) for m in range(2)]
    np.testing.assert_array_equal(found, np.concatenate(parts, axis=-1))


@pytest.mark.parametrize("n_codes", [2, 10, 256, 1 << 24, 1 << 31, 1 << 48])
def test_scalars_lie_between_0_and_1(n_codes: int) -> None:
    codes = np.random.default_rng(n_codes % 97).integers(0, n_codes, (5, 7))
    codes[0, :2] = 0, n_codes - 1
    found = texture.encode(codes, "scalar", n_codes=n_codes)
    np.testing.assert_allclose(found, codes / (n_codes - 1), rtol=0, atol=1e-6)
    assert found.dtype == np.float32
    assert found.min() == 0
    assert found.max() == 1


def test_real_maps_are_scaled_by_their_range() -> None:
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
