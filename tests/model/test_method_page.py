import re
from pathlib import Path

import torch

from auxface.model import JointModel
from auxface.objectives import Batch, Task
from auxface.recipe import Encoder, Recipe, recipe_names
from auxface.recipe import auxiliary as objective_registry

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "method.md").read_text(encoding="utf-8")


def test_the_objective_of_the_page_runs_and_has_at_most_thirty_lines(monkeypatch):
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL).group(1)
    assert len(code.splitlines()) <= 30
    objective_registry.available()
    monkeypatch.setattr(objective_registry, "_registered", dict(objective_registry._registered))
    exec(compile(code, "method.md", "exec"), {"__name__": "page"})
    recipe = Recipe(
        primary_weight=0.5,
        auxiliaries={"flip": {"weight": 0.5, "scale": 2}},
        encoder=Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4),
    )
    model = JointModel(recipe, [Task("t", "class", ("a", "b"))])
    images = torch.rand(4, 3, 32, 32)
    batch = Batch(images, (images * 255).to(torch.uint8), {"t": torch.tensor([0, 1, 0, 1])}, torch.arange(4))
    loss, logs = model(batch)
    torch.testing.assert_close(loss.detach(), 0.5 * logs["primary.t"] + 0.25 * logs["flip.distance"])


def test_the_page_names_every_preset_of_images():
    assert [name for name in recipe_names() if "video" not in name and f"`{name}`" not in PAGE] == []
