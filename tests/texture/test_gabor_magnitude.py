"""Gabor magnitudes against their plain definition."""

from math import ceil, pi

import numpy as np
import pytest

from auxface import texture
from auxface.texture.gabor_magnitude import plain_gabor_filters


@pytest.mark.parametrize(
    ("scales", "orientations", "wavelength"),
    [(3, 4, 4), (1, 1, 2), (2, 3, 2.5), (1, 5, 3), (2, 6, 4), (4, 2, 2), (1, 7, 6.3), (1, 16, 3)],
)
def test_magnitudes_equal_the_plain_definition(images, scales: int, orientations: int, wavelength: float) -> None:
    reach = max(ceil(3 * 0.56 * wavelength * 2 ** (s / 2)) for s in range(scales))
    for image in images(reach + 1):
        found = texture.describe(
            image, "gabor_magnitude", scales=scales, orientations=orientations, min_wavelength=wavelength
        )
        assert found.shape == (scales * orientations, *image.shape)
        for s in range(scales):
            for k in range(orientations):
                even, odd = plain_gabor_filters(wavelength * 2 ** (s / 2), pi * k / orientations)
                padded = np.pad(image, len(even) // 2, mode="reflect").astype(np.float64)
                windows = np.lib.stride_tricks.sliding_window_view(padded, even.shape)
                real = np.einsum("rcij,ij->rc", windows, even)
                imaginary = np.einsum("rcij,ij->rc", windows, odd)
                target = np.hypot(real, imaginary)
                np.testing.assert_allclose(found[s * orientations + k], target, rtol=0, atol=1e-3)


def test_a_matching_wave_has_its_amplitude() -> None:
    columns = np.arange(96)
    image = np.tile(np.round(128 + 100 * np.cos(2 * pi * columns / 8)), (64, 1)).astype(np.uint8)
    found = texture.gabor_magnitude(image, scales=3, orientations=4, min_wavelength=4)
    assert found[2 * 4, 24:40, 24:72] == pytest.approx(100, abs=0.6)
