import re
from pathlib import Path

import torch

from auxface.model import JointModel
from auxface.objectives import Batch, LearnedTask
from auxface.objectives.registry import registry
from auxface.recipe import Encoder, Recipe, recipe_names

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "method.md").read_text(encoding="utf-8")


def test_the_auxiliary_on_the_page_runs_in_thirty_lines():
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL).group(1)
    assert len(code.splitlines()) <= 30
    with registry.isolated():
        exec(compile(code, "method.md", "exec"), {"__name__": "page"})
        check_flip()


def check_flip():
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


def test_the_page_names_every_image_recipe():
    assert [name for name in recipe_names() if "video" not in name and f"`{name}`" not in PAGE] == []
