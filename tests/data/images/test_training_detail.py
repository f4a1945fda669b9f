"""Training crops keep the fine detail of the image files."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from auxface.data.augment.presets import make_views
from auxface.data.augment.views import ViewRequest, make_view
from auxface.data.images.cache import training_side
from auxface.data.images.decode import fit_square

PACKS = ("demographics_utkface", "attributes_celeba", "emotion_fer2013")


def detail(images: torch.Tensor) -> float:
    """Mean absolute Laplacian of the gray images."""
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).view(1, 1, 3, 3)
    return float(F.conv2d(images.float().mean(dim=1, keepdim=True), kernel).abs().mean())


def decoded(images: list[np.ndarray], side: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([fit_square(image, side) for image in images]).transpose(0, 3, 1, 2).copy())


def some_images(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
    return found[:: max(1, len(found) // 60)][:60]


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("view", ["light", "crop", "ssat", "contrast_crop"])
def test_a_training_view_keeps_97_percent_of_the_detail(shared_data, pack, view):
    paths = some_images(shared_data / pack)
    images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    native = min(min(image.shape[:2]) for image in images)
    seeds = torch.arange(len(images))

    def clean(source: torch.Tensor) -> torch.Tensor:
        if view == "contrast_crop":
            return make_view(ViewRequest("contrast_crop"), source, seeds, 64).images
        return make_views(source, seeds, view, size=64).clean

    side = training_side(paths, 64)
    kept = detail(clean(decoded(images, side))) / detail(clean(decoded(images, native)))
    # docs/data.md has the figures.
    print(f"{pack}, {view}: {kept:.3f}")
    assert kept >= 0.97


def test_images_downscaled_first_lose_more_detail(shared_data):
    paths = some_images(shared_data / "demographics_utkface")
    images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    seeds = torch.arange(len(images))
    shrunk, native = (make_views(decoded(images, side), seeds, "light", size=64).clean for side in (64, 112))
    assert detail(shrunk) < 0.85 * detail(native)


def test_the_side_is_the_native_one_up_to_four_times(tmp_path):
    for number, side in enumerate((50, 100, 100, 900)):
        Image.new("RGB", (side, side + 30)).save(tmp_path / f"{number}.png")
    paths = sorted(tmp_path.glob("*.png"))
    assert training_side(paths[:3], 32) == 100
    assert training_side(paths[3:], 32) == 128
    assert training_side(paths[:1], 64) == 50
    assert training_side([tmp_path / "absent.png"], 64) == 64
    # Half a million images of 128 pixels would take 24 GiB, of 53 pixels 4 GiB.
    assert training_side(paths[3:] * 500_000, 32) == 53
    assert training_side(paths[3:] * 5_000_000, 32) == 45
