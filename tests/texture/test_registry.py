"""One contract over every registered descriptor."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from auxface import texture

SIDES = (37, 41)


def sample(name: str, batch: int = 3) -> torch.Tensor:
    shape = (batch, 7, *SIDES) if texture.get(name).input == "clip" else (batch, *SIDES)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def equal(name: str, one: torch.Tensor, other: torch.Tensor) -> None:
    assert one.shape == other.shape
    assert one.dtype == other.dtype
    if name == "gabor_magnitude":
        # Matrix products of other sizes add in another order.
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3)
    else:
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("name", list(texture.available()))
def test_maps_are_the_same_in_every_layout_and_dtype(name: str) -> None:
    images = sample(name)
    maps = texture.describe(images, name)
    output = texture.get(name).describe_output()
    assert texture.get(name).reference
    assert texture.get(name).default_encoding in output.encodings
    if output.is_code:
        assert int(maps.min()) >= 0
        assert int(maps.max()) < output.n_codes
    for i in range(len(images)):
        equal(name, texture.describe(images[i], name), maps[i])
    spread = torch.stack([images, images], dim=-1)[..., 0]
    assert not spread.is_contiguous()
    equal(name, texture.describe(spread, name), maps)
    equal(name, texture.describe(images.to(torch.int64), name), maps)
    equal(name, texture.describe(images.to(torch.float32), name), maps)
    equal(name, torch.from_numpy(texture.describe(images.numpy(), name)), maps)
    if texture.get(name).input == "image":
        with_channel = texture.describe(images[:, None], name)
        equal(name, with_channel if output.maps > 1 and output.cell == 1 else with_channel[:, 0], maps)


@pytest.mark.parametrize("name", list(texture.available()))
def test_bad_images_are_refused_with_their_shape(name: str) -> None:
    with pytest.raises(TypeError, match="list"):
        texture.describe([[1, 2]], name)
    with pytest.raises(ValueError, match=r"0\.\.255"):
        texture.describe(sample(name).float() * 2, name)
    with pytest.raises(ValueError, match="multiplied by 255"):
        texture.describe(sample(name).float() / 255, name)
    if texture.get(name).input == "image":
        with pytest.raises(ValueError, match=r"auxface\.texture\.gray"):
            texture.describe(torch.zeros(2, 3, 40, 40, dtype=torch.uint8), name)
        with pytest.raises(ValueError, match="1 x 1"):
            texture.describe(np.zeros((1, 1), np.uint8), name)


@pytest.mark.gpu
@pytest.mark.parametrize("name", list(texture.available()))
def test_maps_are_the_same_on_a_gpu(name: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    equal(name, texture.describe(sample(name).cuda(), name).cpu(), texture.describe(sample(name), name))


def test_names_parameters_and_values_are_checked() -> None:
    with pytest.raises(ValueError, match="local_binary_pattern"):
        texture.get("local_binary_patern")
    with pytest.raises(TypeError, match="did you mean 'radius'"):
        texture.describe(sample("local_binary_pattern"), "local_binary_pattern", radiu=2)
    with pytest.raises(ValueError, match="1 to 31"):
        texture.local_binary_pattern(sample("local_binary_pattern"), points=32)


def test_texture_loads_torch_and_nothing_above_itself() -> None:
    code = (
        "import sys, auxface.texture; "
        "print(*(m for m in sys.modules if m.startswith('auxface.') or m in ('timm', 'pandas', 'cv2', 'scipy')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rooms = {name.split(".")[1] for name in done.stdout.split() if name.startswith("auxface.")}
    assert rooms == {"errors", "plugins", "texture"}
    assert all(name.startswith("auxface.") for name in done.stdout.split())
