"""The examples in docs/extending.md run, and each has fewer than 40 lines."""

import re
import sys
import types
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import auxface.data.layouts.registry
import auxface.encoders.maskable
import auxface.objectives.registry
import auxface.texture.registry
from auxface import plugins, texture
from auxface.data.layouts.registry import get_layout, resolve_options
from auxface.encoders import build_encoder, random_mask
from auxface.errors import InputError
from auxface.evaluation import METRICS, Predictions, ScoredTask, audit_tables, register_metric
from auxface.model import JointModel
from auxface.objectives import Batch, LearnedTask
from auxface.recipe import Encoder, Recipe

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
REGISTRIES = {
    "descriptors": auxface.texture.registry.registry,
    "layouts": auxface.data.layouts.registry.registry,
    "encoders": auxface.encoders.maskable.registry,
    "objectives": auxface.objectives.registry.registry,
}


def code_of(heading: str) -> str:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


@pytest.fixture
def installed(monkeypatch) -> Iterator[Callable[[str, str, str], types.ModuleType]]:
    """Runs an example as a module of another package that lists one of its objects as an entry point."""
    undo = []

    def install(heading: str, group: str, attribute: str) -> types.ModuleType:
        module = types.ModuleType("my_package.my_module")
        exec(compile(code_of(heading), "extending.md", "exec"), module.__dict__)
        monkeypatch.setitem(sys.modules, "my_package", types.ModuleType("my_package"))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        point = EntryPoint("example", f"{module.__name__}:{attribute}", f"auxface.{group}")
        isolated = REGISTRIES[group].isolated()
        isolated.__enter__()
        undo.append(isolated)
        monkeypatch.setattr(plugins, "entry_points", lambda group: [point] if group == point.group else [])
        return module

    yield install
    for isolated in undo:
        isolated.__exit__(None, None, None)


@pytest.mark.parametrize("heading", ["A texture descriptor", "A layout", "An encoder", "An objective", "A metric"])
def test_every_example_has_fewer_than_40_lines(heading):
    assert len(code_of(heading).splitlines()) < 40


def test_the_example_descriptor_is_found_and_encoded(installed):
    installed("A texture descriptor", "descriptors", "descriptor")
    image = np.array([[1, 5, 3], [4, 4, 4], [9, 0, 9]], np.uint8)
    codes = texture.describe(image, "row_pattern")
    np.testing.assert_array_equal(codes, [[3, 0, 3], [3, 3, 3], [0, 3, 0]])
    assert texture.encode_target(codes, "row_pattern", "bits").shape == (2, 3, 3)
    assert texture.target_channels("row_pattern") == 2


def test_the_example_layout_reads_its_data_set(installed, tmp_path):
    installed("A layout", "layouts", "layout")
    layout = get_layout("smiles")
    lines = [f"img/{number}.jpg person{number // 2} {'smiling' if number % 2 else 'neutral'}" for number in range(20)]
    (tmp_path / "faces.txt").write_text("\n".join(lines))
    listing = layout.read(tmp_path, **resolve_options(layout, {}))
    assert listing.table["expression"].tolist()[:2] == ["neutral", "smiling"]
    assert set(listing.table["split"]) == {"train", "val", "test"}
    assert listing.table.groupby("source")["split"].nunique().max() == 1
    (tmp_path / "faces.txt").write_text("img/0.jpg anna angry")
    with pytest.raises(InputError, match="line 1 has the expression 'angry'"):
        layout.read(tmp_path)


def test_the_example_encoder_encodes_visible_patches_only(installed):
    installed("An encoder", "encoders", "family")
    encoder = build_encoder(Encoder(name="patch_mlp", image_size=32, patch_size=8, width=24, depth=2))
    images = torch.rand(2, 3, 32, 32)
    mask = random_mask(torch.tensor([1, 2]), patches=16, mask_ratio=0.75)
    features = encoder(images, mask)
    assert features.tokens.shape == (2, 4, 24)
    hidden = mask.boolean().view(2, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
    torch.testing.assert_close(encoder(images.masked_fill(hidden, 0), mask).pooled, features.pooled)


def test_the_example_objective_adds_its_weighted_loss(installed):
    installed("An objective", "objectives", "objective")
    recipe = Recipe(
        primary_weight=0.5,
        auxiliaries={"flip": {"weight": 0.5, "scale": 2}},
        encoder=Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4),
    )
    model = JointModel(recipe, [LearnedTask("t", "class", ("a", "b"))])
    images = torch.rand(4, 3, 32, 32)
    batch = Batch(
        primary=images,
        clean=(images * 255).to(torch.uint8),
        labels={"t": torch.tensor([0, 1, 0, 1])},
        seeds=torch.arange(4),
    )
    loss, logs, _ = model(batch)
    torch.testing.assert_close(loss.detach(), 0.5 * logs["primary.t"] + 0.25 * logs["flip.distance"])


def test_the_example_metric_is_part_of_an_audit():
    names: dict = {}
    exec(compile(code_of("A metric"), "extending.md", "exec"), names)
    before = dict(METRICS)
    register_metric(names["kappa"])
    try:
        true = np.array([0, 0, 1, 1, 0, 1, 0, 1] * 10)
        score = np.where(np.arange(80) % 8 == 7, 1 - true, true) * 0.8 + 0.1
        frame = pd.DataFrame({"true.smile": true, "score.smile.smiling": score})
        table = Predictions(frame, (ScoredTask("smile", "binary", ("neutral", "smiling"), {"smiling": 0.5}),))
        found = audit_tables({"ours": table}, resamples=100).models["ours"].tasks["smile"].overall["kappa"]
        assert found.value == pytest.approx(0.75)
        assert found.low < 0.75 < found.high
    finally:
        METRICS.clear()
        METRICS.update(before)
