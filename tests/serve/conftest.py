import contextlib
import io
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from auxface.data.synthetic import describe_face, render_face
from auxface.inference.predictor import Predictor, TorchScorer
from auxface.model import JointModel
from auxface.model.saved_model import SavedModel, save_model
from auxface.objectives import LearnedTask
from auxface.recipe import Encoder, Recipe, ReconstructionOptions

pytest.importorskip("fastapi")


def as_png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def saved() -> SavedModel:
    recipe = Recipe(
        name="little",
        auxiliary=ReconstructionOptions(
            target=({"name": "local_binary_pattern", "encoding": "bits"},),
            decoder_width=32,
            decoder_depth=1,
            decoder_heads=4,
        ),
        encoder=Encoder(image_size=32, patch_size=8, width=32, depth=2, heads=4),
    )
    model = JointModel(
        recipe, [LearnedTask("mood", "class", ("calm", "glad")), LearnedTask("forged", "binary", ("real", "forged"))]
    )
    for head in model.primary.heads:
        head.weight.data *= 40
    return SavedModel(model.eval(), model.default_config())


@pytest.fixture(scope="session")
def predictor(saved) -> Predictor:
    return Predictor(TorchScorer(saved, "cpu"), warn=lambda sentence: None)


@pytest.fixture(scope="session")
def model_folder(saved, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "model"
    save_model(saved.model, folder, saved.config)
    return folder


@pytest.fixture(scope="session")
def face() -> bytes:
    return as_png(render_face(describe_face(3)[0], 96))


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> bytes:
    """A video of two seconds of a moving face, in a format that browsers play."""
    av = pytest.importorskip("av")
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    image = render_face(describe_face(3)[0], 128)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p"
        for number in range(20):
            frame = np.full((128, 192, 3), 90, np.uint8)
            frame[:, 2 * number : 2 * number + 128] = image
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path.read_bytes()


@dataclass
class Live:
    """A server process, its port, and its log file."""

    process: subprocess.Popen
    port: int
    log: Path


@pytest.fixture(scope="session")
def serving(model_folder):
    """Return a context manager that runs a server process with flags of ``auxface serve``."""

    @contextlib.contextmanager
    def serve(*flags: str):
        command = [sys.executable, "-m", "auxface", "serve", str(model_folder), "--port", "0", *flags]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "log", "w") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
            try:
                first = process.stdout.readline()
                assert first.startswith("auxface: serving at"), Path(log.name).read_text()
                yield Live(process, int(first.rsplit(":", 1)[1]), Path(log.name))
            finally:
                process.terminate()
                process.wait(timeout=30)

    return serve
