import sys
from pathlib import Path

import pytest

from auxface.data.prepare.prepare import prepare
from auxface.training.train import train

# Modules that tests of several rooms share.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of small real face packs, which is not part of the project."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real face packs (../shared/data) are not on this machine")
    return folder


@pytest.fixture(scope="session")
def shared_reference() -> Path:
    """The folder with the golden texture outputs, which is not part of the project."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "reference"
    if not folder.is_dir():
        pytest.skip("the golden texture outputs (../shared/reference) are not on this machine")
    return folder


@pytest.fixture(scope="session")
def sixty(tmp_path_factory) -> Path:
    """A manifest of 60 synthetic faces."""
    folder = tmp_path_factory.mktemp("sixty")
    options = {"count": 60, "seed": 0, "size": 32}
    prepare("synthetic", folder / "images", out=folder / "faces.parquet", options=options)
    return folder / "faces.parquet"


@pytest.fixture(scope="session")
def small_settings() -> list[str]:
    """Settings of an L-SSAT model that trains in a second."""
    encoder = ["image_size=32", "patch_size=8", "width=32", "depth=1", "heads=2"]
    decoder = ["decoder_width=16", "decoder_depth=1", "decoder_heads=2"]
    training = ["epochs=1", "batch_size=16", "augment=none"]
    parts = {"encoder": encoder, "auxiliary": decoder, "train": training}
    return [f"{part}.{setting}" for part, settings in parts.items() for setting in settings]


@pytest.fixture(scope="session")
def trained(sixty, small_settings, tmp_path_factory) -> Path:
    """The directory of a small L-SSAT model trained on the tasks emotion and forged."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    train("l_ssat", sixty, folder, overrides=[*small_settings, "tasks=[emotion, forged]"], device="cpu")
    return folder
