import numpy as np
import pytest
import torch
from PIL import Image

from auxface.data.synthetic import describe_face, render_face
from auxface.model import JointModel
from auxface.model.saved_model import SavedModel, save_model
from auxface.objectives import LearnedTask
from auxface.recipe import Encoder, Recipe, ReconstructionOptions

SIZE = 32
TASKS = (
    LearnedTask("mood", "class", ("calm", "glad", "cross")),
    LearnedTask("forged", "binary", ("real", "forged")),
    LearnedTask("has", "multilabel", ("Hat", "Beard")),
)


def make_saved(**changes) -> SavedModel:
    """Return a small untrained joint model whose scores differ between images."""
    recipe = Recipe(
        seed=3,
        auxiliary=ReconstructionOptions(
            target=({"name": "rgb"}, {"name": "local_binary_pattern", "encoding": "bits"}),
            decoder_width=32,
            decoder_depth=1,
            decoder_heads=4,
        ),
        encoder=Encoder(image_size=SIZE, patch_size=8, width=32, depth=2, heads=4),
    )
    model = JointModel(recipe, TASKS).eval()
    for head in model.primary.heads:
        head.weight.data *= 40
    config = model.default_config().model_copy(update=changes)
    records = tuple(
        task.model_copy(update={"temperature": 2.0, "thresholds": {"forged": 0.3} if task.name == "forged" else {}})
        for task in config.tasks
    )
    return SavedModel(model, config.model_copy(update={"tasks": records}) if "tasks" not in changes else config)


@pytest.fixture(scope="session")
def saved() -> SavedModel:
    return make_saved()


@pytest.fixture(scope="session")
def model_folder(saved, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    save_model(saved.model, folder, saved.config)
    return folder


@pytest.fixture(scope="session")
def faces() -> list[np.ndarray]:
    return [render_face(describe_face(number, seed=1)[0], 64) for number in (0, 11, 22, 33)]


@pytest.fixture(scope="session")
def folder_of_faces(faces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    for number, face in enumerate(faces):
        (folder / f"part{number % 2}").mkdir(exist_ok=True)
        Image.fromarray(face).save(folder / f"part{number % 2}" / f"{number}.png")
    (folder / "part0" / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="session")
def clip(faces, tmp_path_factory):
    """A video of two seconds at 10 frames per second: one face, then another."""
    av = pytest.importorskip("av")
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(faces[number // 10], format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.fixture(scope="session")
def eight_images() -> torch.Tensor:
    """Eight smooth random images, uint8 [8, 3, 32, 32]."""
    smooth = torch.rand(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return (torch.nn.functional.interpolate(smooth, size=SIZE, mode="bicubic").clamp(0, 1) * 255).round().byte()


@pytest.fixture(scope="session")
def eight_labels() -> dict[str, torch.Tensor]:
    """Labels of the three tasks of ``saved``; the last image has none."""
    return {
        "mood": torch.tensor([0, 1, 2, 0, 1, 2, 0, -1]),
        "forged": torch.tensor([0.0, 1.0] * 3 + [1.0, torch.nan]),
        "has": torch.tensor([[1.0, 0.0]] * 7 + [[torch.nan, torch.nan]]),
    }
