"""README and docs/index.md: links lead to files, commands exist, and the Python example runs."""

import re
from pathlib import Path

import pytest

from auxface.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/index.md")


@pytest.mark.parametrize("page", PAGES)
def test_links_of_the_page_lead_to_files(page):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text())
    assert len(targets) > 10
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).is_file()] == []


def test_the_index_lists_every_document():
    listed = re.findall(r"\]\(([^)#:/]+)\)", (ROOT / "docs/index.md").read_text())
    pages = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".ipynb")}
    assert pages - {"index.md"} <= set(listed)


def test_the_readme_lists_every_command():
    commands = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    text = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([\w ]+)`", row)} == commands
    assert set(re.findall(r"^    auxface (\w+)", text, re.MULTILINE)) <= commands


def test_the_example_of_the_readme_has_ten_lines_or_fewer():
    lines = [line for line in example().splitlines() if line.strip()]
    assert len(lines) <= 10


@pytest.mark.slow
def test_the_example_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(example(), "README.md", "exec"), {"__name__": "readme"})
    assert (tmp_path / "runs/report/report.html").is_file()
    # The comment of the example states it.
    assert capsys.readouterr().out.rstrip().endswith("validation AUC is not clearly above chance)")


def example() -> str:
    """The Python example of the README."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return code
