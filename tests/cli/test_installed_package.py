"""An installed package adds objects by entry points, for recipes, layouts and targets."""

import json
import os
import subprocess
import sys

import pytest

CODE = '''
"""A texture descriptor, an auxiliary objective and a layout of another package."""

import numpy as np
import pandas as pd
import torch
from PIL import Image

from auxface.data.layouts.registry import Layout, Listing, Option
from auxface.data.manifest import Label
from auxface.objectives import AuxiliaryOptions, Objective, ObjectiveSpec
from auxface.recipe.validation import Positive
from auxface.texture import Descriptor, Output


def steps(images):
    """2 where the pixel to the right is brighter, 1 where it is as bright, else 0."""
    right = torch.nn.functional.pad(images.int(), (0, 1), mode="replicate")[..., 1:]
    return (1 + (right - images.int()).sign()).to(torch.uint8)


DESCRIPTOR = Descriptor("light_steps", steps, lambda: Output(n_codes=3), "Ours (2026)", "scalar")


class CalmOptions(AuxiliaryOptions):
    """Features stay small."""

    scale: Positive = 1.0
    """Factor of the loss."""


class Calm(Objective):
    def __init__(self, options, context):
        super().__init__()
        self.scale = options.scale

    def forward(self, encoder, batch, context):
        loss = self.scale * encoder(batch.primary).pooled.square().mean()
        return loss, {"square": loss.detach()}


OBJECTIVE = ObjectiveSpec("calm", CalmOptions, Calm)


def read(root, *, count=12):
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    paths = [root / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray(rng.integers(60 * (number % 2), 160, (32, 32, 3)).astype(np.uint8)).save(path)
    table = pd.DataFrame({"path": [str(path) for path in paths], "frame": range(count)})
    table = table.assign(split=(["train"] * 2 + ["val"] * 2 + ["test"] * 2) * (count // 6), dataset="two", video="",
                         method="", shade=["dark", "light"] * (count // 2))
    table["source"] = table["frame"].astype(str)
    return Listing(table, {"shade": Label("class", ("dark", "light"))}, boundary=root)


LAYOUT = Layout("two_shades", "drawn squares", read, (Option("count", int, 12, "how many"),))
'''
POINTS = """
[auxface.descriptors]
light_steps = face_extras:DESCRIPTOR

[auxface.objectives]
calm = face_extras:OBJECTIVE

[auxface.layouts]
two_shades = face_extras:LAYOUT
"""
RECIPE = """
name: extended
tasks: [shade]
primary_weight: 0.5
auxiliary: {target: light_steps, decoder_width: 16, decoder_depth: 1, decoder_heads: 2}
auxiliaries: {calm: {scale: 3}}
encoder: {image_size: 32, patch_size: 8, width: 32, depth: 1, heads: 2}
train: {epochs: 1, batch_size: 4, precision: fp32}
"""
USE = """
import json
import sys
from pathlib import Path
import torch
from auxface import texture
from auxface.cli import main
assert "light_steps" in texture.available()
print(texture.describe(torch.tensor([[1, 5, 5, 2]], dtype=torch.uint8), "light_steps").tolist())
def run(*words):
    sys.argv = ["auxface", *words]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, words
run("prepare", "two_shades", "drawn", "--count", "24", "-o", "drawn.parquet")
run("train", "extended.yaml", "--data", "drawn.parquet", "--out", "run", "--device", "cpu")
print(json.dumps(sorted(json.loads(Path("run/log.jsonl").read_text().splitlines()[0]))))
"""


@pytest.fixture
def site(tmp_path):
    """A folder as pip installs a package: the module, and the metadata with its entry points."""
    folder = tmp_path / "site"
    metadata = folder / "face_extras-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "face_extras.py").write_text(CODE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: face-extras\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(POINTS)
    return folder


def test_an_installed_package_extends_three_registries(site, tmp_path):
    (tmp_path / "extended.yaml").write_text(RECIPE)
    paths = os.pathsep.join([str(site), *(path for path in sys.path if path)])
    done = subprocess.run(
        [sys.executable, "-c", USE],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "[[2, 1, 0, 1]]"
    assert {"primary.shade", "reconstruction.light_steps", "calm.square"} <= set(json.loads(lines[-1]))
