"""Descriptors on a square of whole pixels against their definitions, pixel by pixel."""

from collections.abc import Callable
from math import atan, atan2, floor, pi

import numpy as np
import pytest

from auxface import texture

OFFSETS = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))
EAST = np.array([[-3, -3, 5], [-3, 0, 5], [-3, -3, 5]])

Window = np.ndarray
"""int64 [2 radius + 1, 2 radius + 1] around the pixel."""


def neighbors(window: Window) -> tuple[list[int], int]:
    middle = len(window) // 2
    return [int(window[middle + r, middle + c]) for r, c in OFFSETS], int(window[middle, middle])


def code(bits: list[bool]) -> int:
    return sum(1 << i for i, bit in enumerate(bits) if bit)


def kirsch(window: Window) -> list[int]:
    """Responses by turning the East mask around its rim, one place for each direction."""
    rim = [EAST[1 + r, 1 + c] for r, c in OFFSETS]
    around, _ = neighbors(window)
    return [sum(int(rim[(i - d) % 8]) * x for i, x in enumerate(around)) for d in range(8)]


def directional_pattern(window: Window, k: int = 3) -> int:
    responses = kirsch(window)
    order = sorted(range(8), key=lambda d: (-abs(responses[d]), d))
    return sum(1 << d for d in order[:k])


def directional_number(window: Window) -> int:
    responses = kirsch(window)
    return 8 * responses.index(max(responses)) + responses.index(min(responses))


def ternary_pattern(window: Window, threshold: float = 5) -> list[int]:
    around, center = neighbors(window)
    return [code([x >= center + threshold for x in around]), code([x <= center - threshold for x in around])]


def center_symmetric(window: Window, threshold: float = 2.55) -> int:
    around, _ = neighbors(window)
    return code([around[i] - around[i + 4] > threshold for i in range(4)])


def phase_quantization(window: Window, eps: float = 0.01) -> int:
    width = len(window)
    middle, a, bits = width // 2, 1 / width, []
    steps = np.arange(-middle, middle + 1)
    centerd = (window - window[middle, middle]).astype(np.float64)
    for u_column, u_row in ((a, 0), (0, a), (a, a), (-a, a)):
        phase = 2 * pi * (u_column * steps[None, :] + u_row * steps[:, None])
        bits += [float((centerd * np.cos(phase)).sum()) > eps, float((centerd * np.sin(phase)).sum()) > eps]
    return code(bits)


def excitation(window: Window, alpha: float = 3, eps: float = 1) -> float:
    around, center = neighbors(window)
    return atan(alpha * sum(x - center for x in around) / max(center, eps))


def orientation(window: Window, sectors: int = 8) -> int:
    around, _ = neighbors(window)
    angle = atan2(around[4] - around[0], around[6] - around[2]) + pi
    return floor(angle / (2 * pi / sectors) + 0.5) % sectors


def derivative_pattern(window: Window) -> list[int]:
    codes = []
    for row, column in OFFSETS[:4]:

        def slope(r: int, c: int, row: int = row, column: int = column) -> int:
            return int(window[2 + r, 2 + c]) - int(window[2 + r + row, 2 + c + column])

        codes.append(code([slope(0, 0) * slope(r, c) <= 0 for r, c in OFFSETS]))
    return codes


def census(window: Window) -> int:
    flat, middle = window.ravel(), window.size // 2
    return code([bool(x < flat[middle]) for x in np.delete(flat, middle)])


def gradient_pattern(window: Window) -> int:
    around, center = neighbors(window)
    distances = [abs(x - center) for x in around]
    return code([distance >= sum(distances) / 8 for distance in distances])


CASES: list[tuple[str, dict[str, object], Callable[..., object], dict[str, float], int]] = [
    *(("local_directional_pattern", {"k": k}, directional_pattern, {"k": k}, 1) for k in range(1, 9)),
    ("local_directional_number", {}, directional_number, {}, 1),
    *(
        ("local_ternary_pattern", {"threshold": t}, ternary_pattern, {"threshold": t}, 1)
        for t in (0.3, 1, 4.5, 5, 20, 255, 256, 1000)
    ),
    *(
        ("center_symmetric_lbp", {"threshold": t}, center_symmetric, {"threshold": t}, 1)
        for t in (0, 0.5, 2.55, 20, 40, 254.5, 255, 999)
    ),
    *(("local_phase_quantization", {"window": w}, phase_quantization, {}, w // 2) for w in (3, 5, 7, 9, 11)),
    *(
        ("local_phase_quantization", {"window": 5, "eps": eps}, phase_quantization, {"eps": eps}, 2)
        for eps in (0.1234, 17.3456)
    ),
    *(
        (
            "weber_local_descriptor",
            {"alpha": alpha, "eps": eps, "output": "excitation"},
            excitation,
            {"alpha": alpha, "eps": eps},
            1,
        )
        for alpha, eps in ((3, 1), (0.5, 1), (5, 4), (1.7, 0.01), (20, 300))
    ),
    *(
        ("weber_local_descriptor", {"sectors": s, "output": "orientation"}, orientation, {"sectors": s}, 1)
        for s in (8, 16)
    ),
    ("local_derivative_pattern", {}, derivative_pattern, {}, 2),
    *(("census_transform", {"window": w}, census, {}, w // 2) for w in (3, 5, 7)),
    ("local_gradient_pattern", {}, gradient_pattern, {}, 1),
]


@pytest.mark.parametrize("border", ["reflect", "valid"])
@pytest.mark.parametrize(
    ("name", "parameters", "oracle", "own", "radius"), CASES, ids=lambda value: str(value)[:40].replace(" ", "")
)
def test_square(images, name: str, parameters: dict, oracle: Callable, own: dict, radius: int, border: str) -> None:
    for image in images(1 + radius * (2 if border == "valid" else 1)):
        padded = np.pad(image, radius, mode="reflect") if border == "reflect" else image
        side = 2 * radius + 1
        windows = np.lib.stride_tricks.sliding_window_view(padded.astype(np.int64), (side, side))
        wanted = np.array([[oracle(window, **own) for window in row] for row in windows])
        if wanted.ndim == 3:
            wanted = wanted.transpose(2, 0, 1)
        found = texture.describe(image, name, border=border, **parameters)
        if parameters.get("output") == "excitation":
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
        else:
            np.testing.assert_array_equal(np.asarray(found, np.int64), wanted)


@pytest.mark.parametrize("sectors", [2, 3, 5, 12, 300])
def test_other_numbers_of_sectors_away_from_their_edges(sectors: int) -> None:
    image = np.random.default_rng(sectors).integers(0, 256, (40, 40), dtype=np.uint8)
    found = texture.weber_local_descriptor(image, sectors=sectors, border="valid")
    signed = image.astype(np.float64)
    angle = np.arctan2(signed[1:-1, :-2] - signed[1:-1, 2:], signed[2:, 1:-1] - signed[:-2, 1:-1]) + pi
    place = angle / (2 * pi / sectors) + 0.5
    clear = np.abs(place - np.round(place)) > 1e-9
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(found[clear], (np.floor(place) % sectors)[clear])


def test_worked_example() -> None:
    """The patch of the definitions, 50 in its middle."""
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
