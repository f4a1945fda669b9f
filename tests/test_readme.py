"""README and docs/index.md: links lead to files, commands exist, and the Python example runs."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image

import auxface
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


def test_the_citation_names_the_version_and_the_papers_of_the_method():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {citation["version"], project["version"]} == {auxface.__version__}
    cited = {paper["identifiers"][0]["value"].removeprefix("arXiv:") for paper in citation["references"]}
    assert cited == {"2310.20704", "2409.19582", "2601.00789", "2603.22190"}
    described = "".join((ROOT / page).read_text() for page in ("README.md", "docs/method.md", "docs/backbones.md"))
    assert {number for number in cited if number not in described} == set()


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


@pytest.mark.slow
def test_the_commands_for_own_images_run(tmp_path):
    text = (ROOT / "README.md").read_text().split("## Your own images")[1].split("\n## ")[0]
    commands = re.findall(r"^    auxface (.*)$", text, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["prepare", "train", "evaluate", "predict"]
    auxface.prepare("synthetic", tmp_path / "faces", out=tmp_path / "drawn.parquet", options={"count": 200, "size": 64})
    images = sorted((tmp_path / "faces").rglob("*.png"))
    table = pd.DataFrame({"path": [str(image.relative_to(tmp_path)) for image in images]})
    for column, names in (("gender", ("Female", "Male")), ("race", ("A", "B", "C")), ("age_group", ("young", "old"))):
        table[column] = [names[row * len(names) // 7 % len(names)] for row in range(len(images))]
    table.to_csv(tmp_path / "labels.csv", index=False)
    for name in ("some.jpg", "another.jpg"):
        Image.open(images[0]).convert("RGB").save(tmp_path / name)
    for command in commands:
        words = shlex.split(command.replace("--budget 30m", "--budget 1m"))
        done = subprocess.run([sys.executable, "-m", "auxface", *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert [item["input"] for item in json.loads(done.stdout)] == ["some.jpg", "another.jpg"]
    assert (tmp_path / "runs/mine/test/report.html").is_file()
