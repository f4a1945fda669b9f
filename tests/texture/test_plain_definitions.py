"""Descriptors on a square window against their plain definitions, pixel by pixel."""

from collections.abc import Callable
from math import pi

import numpy as np
import pytest

from auxface import texture
from auxface.texture.lbp_variants import (
    plain_census_transform,
    plain_center_symmetric_lbp,
    plain_local_gradient_pattern,
    plain_local_ternary_pattern,
)
from auxface.texture.local_derivative_pattern import plain_local_derivative_pattern
from auxface.texture.local_directional_pattern import plain_local_directional_number, plain_local_directional_pattern
from auxface.texture.local_phase_quantization import plain_local_phase_quantization
from auxface.texture.weber_local_descriptor import plain_excitation, plain_orientation

CASES: list[tuple[str, Callable[..., object], dict[str, object], int]] = [
    *(("local_directional_pattern", plain_local_directional_pattern, {"k": k}, 1) for k in range(1, 9)),
    ("local_directional_number", plain_local_directional_number, {}, 1),
    *(
        ("local_ternary_pattern", plain_local_ternary_pattern, {"threshold": threshold}, 1)
        for threshold in (0.3, 1, 4.5, 5, 20, 255, 256, 1000)
    ),
    *(
        ("center_symmetric_lbp", plain_center_symmetric_lbp, {"threshold": threshold}, 1)
        for threshold in (0, 0.5, 2.55, 20, 40, 254.5, 255, 999)
    ),
    *(("local_phase_quantization", plain_local_phase_quantization, {}, radius) for radius in (1, 2, 3, 4, 5)),
    *(("local_phase_quantization", plain_local_phase_quantization, {"eps": eps}, 2) for eps in (0.1234, 17.3456)),
    *(
        ("weber_local_descriptor", plain_excitation, {"alpha": alpha, "eps": eps}, 1)
        for alpha, eps in ((3, 1), (0.5, 1), (5, 4), (1.7, 0.01), (20, 300))
    ),
    *(("weber_local_descriptor", plain_orientation, {"sectors": sectors}, 1) for sectors in (8, 16)),
    ("local_derivative_pattern", plain_local_derivative_pattern, {}, 2),
    *(("census_transform", plain_census_transform, {}, radius) for radius in (1, 2, 3)),
    ("local_gradient_pattern", plain_local_gradient_pattern, {}, 1),
]


@pytest.mark.parametrize("border", ["reflect", "valid"])
@pytest.mark.parametrize(
    ("name", "plain", "parameters", "radius"),
    CASES,
    ids=[f"{plain.__name__[6:]}-{parameters}-{radius}".replace(" ", "") for _, plain, parameters, radius in CASES],
)
def test_the_kernel_equals_the_plain_definition(
    images, name: str, plain: Callable, parameters: dict, radius: int, border: str
) -> None:
    side, others = 2 * radius + 1, {}
    if name in ("local_phase_quantization", "census_transform"):
        others = {"window": side}
    elif plain is plain_excitation:
        others = {"output": "excitation"}
    for image in images(1 + radius * (2 if border == "valid" else 1)):
        padded = np.pad(image, radius, mode="reflect") if border == "reflect" else image
        windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
        target = np.array([[plain(window, **parameters) for window in row] for row in windows])
        if target.ndim == 3:
            target = target.transpose(2, 0, 1)
        found = texture.describe(image, name, border=border, **parameters, **others)
        if plain is plain_excitation:
            np.testing.assert_allclose(found, target, rtol=0, atol=1e-6)
        else:
            np.testing.assert_array_equal(np.asarray(found, np.int64), target)


@pytest.mark.parametrize("sectors", [2, 3, 5, 12, 300])
def test_other_numbers_of_sectors_agree_inside_the_sectors(sectors: int) -> None:
    image = np.random.default_rng(sectors).integers(0, 256, (40, 40), dtype=np.uint8)
    found = texture.weber_local_descriptor(image, sectors=sectors, border="valid")
    signed = image.astype(np.float64)
    angle = np.arctan2(signed[1:-1, :-2] - signed[1:-1, 2:], signed[2:, 1:-1] - signed[:-2, 1:-1]) + pi
    place = angle / (2 * pi / sectors) + 0.5
    clear = np.abs(place - np.round(place)) > 1e-9
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(found[clear], (np.floor(place) % sectors)[clear])


def test_the_worked_example_has_its_codes() -> None:
    """One patch with the center 50, computed by hand."""
    patch = np.array([[90, 60, 30], [20, 50, 50], [80, 10, 75]], np.uint8)

    def center(name: str, **parameters: object) -> np.ndarray:
        return np.asarray(texture.describe(patch, name, **parameters))[..., 1, 1]

    assert center("local_binary_pattern") == 173
    assert center("local_binary_pattern", method="ror") == 91
    assert center("local_binary_pattern", method="uniform") == 9
    assert center("local_binary_pattern", method="nri_uniform") == 58
    assert center("local_binary_pattern", method="var") == pytest.approx(331.512, abs=5e-4)
    assert center("local_directional_pattern") == 52
    assert center("local_directional_number") == 37
    assert center("local_ternary_pattern").tolist() == [172, 82]
    assert center("center_symmetric_lbp") == 13
    assert center("local_phase_quantization", window=3) == 80
    assert center("weber_local_descriptor", output="excitation") == pytest.approx(0.7328, abs=5e-5)
    assert center("weber_local_descriptor", output="orientation") == 1
    assert center("local_derivative_pattern").tolist() == [255, 83, 173, 172]
    assert center("census_transform") == 76
    assert center("local_gradient_pattern") == 248
    cell = texture.histogram_of_oriented_gradients(patch, cell=3)
    assert cell.ravel()[[0, 4, 6]] == pytest.approx([3**-0.5] * 3, abs=1e-5)
    clip = np.stack([np.full((3, 3), 10), patch, np.full((3, 3), 60)]).astype(np.uint8)
    assert texture.lbp_top(clip, border="valid").ravel().tolist() == [173, 225, 112]
