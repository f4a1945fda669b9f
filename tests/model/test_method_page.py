"""docs/method.md is complete."""

from pathlib import Path

from auxface.recipe import recipe_names

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "method.md").read_text(encoding="utf-8")


def test_the_page_names_every_image_recipe():
    assert [name for name in recipe_names() if "video" not in name and f"`{name}`" not in PAGE] == []
