"""Every entry of the golden file, through the public functions."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from auxface import texture

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "reference" / "texture_golden.npz"
RENAMED = {"P": "points", "R": "radius", "t": "threshold", "T": "sectors"}


@cache
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN, allow_pickle=False) as archive:
        return dict(archive)


def number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def read_key(key: str) -> tuple[dict[str, object], str, dict[str, object], str]:
    """The target's parameters, the descriptor, its parameters and the input of a key."""
    parts = key.split("|")
    target: dict[str, object] = {}
    while "=" in parts[0]:
        name, value = parts.pop(0).split("=")
        target[name] = number(value)
    name, *rest, image = parts
    pairs = (part.split("=") for part in rest)
    return target, name, {RENAMED.get(k, k): number(v) for k, v in pairs}, image


def tolerance(target: dict[str, object], name: str, parameters: dict[str, object]) -> dict[str, float] | None:
    """As the golden file's notes say; None where codes must be equal."""
    if target.get("target") in ("scalar", "histogram"):
        return {"rtol": 0, "atol": 1e-5}
    if target:
        return None
    if parameters.get("method") == "var":
        return {"rtol": 1e-6, "atol": 1e-6}
    if name == "histogram_of_oriented_gradients" or parameters.get("output") == "excitation":
        return {"rtol": 0, "atol": 1e-5}
    if name == "gabor_magnitude":
        return {"rtol": 0, "atol": 1e-3}
    return None


def keys() -> list[str]:
    if not GOLDEN.is_file():
        return []
    with np.load(GOLDEN, allow_pickle=False) as archive:
        return [key for key in archive.files if not key.startswith("input|")]


def check(key: str, as_tensor: bool) -> None:
    target, name, parameters, image_name = read_key(key)
    image = golden()[f"input|{image_name}"]
    maps = texture.describe(torch.from_numpy(image) if as_tensor else image, name, **parameters)
    if target:
        encoding = str(target.pop("target"))
        if name == "histogram_of_oriented_gradients":
            maps = texture.encode(maps, encoding, value_range=(0, 1))
        else:
            maps = texture.encode_target(maps, name, encoding, **target, **parameters)
        target["target"] = encoding
    if as_tensor:
        maps = maps.numpy()
    assert isinstance(maps, np.ndarray)
    expected = golden()[key]
    if target.get("target") == "scalar" and maps.ndim == expected.ndim + 1:
        maps = maps[0]
    assert maps.shape == expected.shape
    allowed = tolerance(target, name, parameters)
    if allowed is None:
        assert not np.issubdtype(maps.dtype, np.floating)
        np.testing.assert_array_equal(maps.astype(np.int64), expected.astype(np.int64))
    else:
        np.testing.assert_array_equal(np.isnan(maps), np.isnan(expected))
        np.testing.assert_allclose(np.nan_to_num(maps), np.nan_to_num(expected), **allowed)


@pytest.mark.parametrize("key", keys() or [pytest.param("", marks=pytest.mark.skip("the golden file is not here"))])
def test_equals_the_golden_file(key: str) -> None:
    check(key, as_tensor=len(key) % 2 == 0)
