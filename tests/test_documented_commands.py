"""The commands in README.md, CONTRIBUTING.md and docs/ have the arguments and options that auxface accepts."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

from auxface.cli import prepare
from auxface.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
# The command of auxface within a line, which torchrun and accelerate start as a module.
COMMAND = re.compile(r"^(?:\$ )?(?:(?:torchrun|accelerate launch)\b.* -m )?auxface (?P<arguments>[a-z-].*)$")


def block_lines(text):
    """The lines of all indented and fenced blocks, without indentation; lines that end with a backslash are joined."""
    blocks = [fenced.group(1) for fenced in re.finditer(r"^```(?:console|bash|sh)?\n(.*?)^```", text, re.M | re.S)]
    indented = re.findall(r"^ {4}(.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return re.sub(r"\\\n\s*", "", "\n".join([*indented, *blocks])).splitlines()


def documented(pattern):
    """(page, match) for every line of a block that matches."""
    lines = [(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in block_lines(page.read_text())]
    return [(page, found) for page, line in lines if (found := pattern.match(line))]


COMMANDS = sorted({(page, found["arguments"]) for page, found in documented(COMMAND)})


@pytest.fixture(scope="module")
def parser():
    """The command line, whose commands do nothing but parse their arguments."""
    prepare.add_layouts()
    return without_effects(typer.main.get_command(app))


def without_effects(command):
    command.callback = None
    for child in getattr(command, "commands", {}).values():
        without_effects(child)
    return command


def options_of(command):
    own = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)} | {"--help"}
    return own.union(*(options_of(child) for child in getattr(command, "commands", {}).values()))


def test_the_pages_contain_commands():
    assert len(COMMANDS) > 70
    assert {"README.md", "docs/training.md", "docs/use.md"} <= {page for page, _ in COMMANDS}


@pytest.mark.parametrize(("page", "arguments"), COMMANDS)
def test_a_documented_command_is_parsed(parser, page, arguments):
    words = shlex.split(arguments, comments=True)
    if words[:2] == ["prepare", "LAYOUT"]:
        words[1] = "celeba"
    parser.main(words, standalone_mode=False)


def test_the_parser_refuses_an_unknown_option(parser):
    with pytest.raises(Exception, match="No such option"):
        parser.main(["train", "l_ssat", "--data", "faces.parquet", "--epoch", "3"], standalone_mode=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_sentences_have_their_options(parser, page):
    text = re.sub(r"^(```.*?^```| {4}.*?$)", "", page.read_text(), flags=re.M | re.S)
    for span in re.findall(r"`auxface ([a-z][^`]*)`", text):
        words, command = re.findall(r"\S+", span), parser
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[" ".join(words.pop(0).split())]
        assert command is not parser, span
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= options_of(command), span


def test_documented_make_targets_exist():
    targets = {found["target"] for _, found in documented(re.compile(r"^make (?P<target>\w+)"))}
    assert targets >= {"install", "demo", "test", "lint", "docs", "wheel"}
    assert targets <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))


def test_documented_scripts_exist_and_know_their_options():
    in_blocks = [found.groups() for _, found in documented(re.compile(r"^python (benchmarks/\S+\.py)(.*)$"))]
    in_sentences = [
        span for page in PAGES for span in re.findall(r"`python (benchmarks/[^` ]+)([^`]*)`", page.read_text())
    ]
    assert min(len(in_blocks), len(in_sentences)) > 3
    for path, arguments in in_blocks + in_sentences:
        code = (ROOT / path).read_text()
        for option in re.findall(r"(--[a-z0-9-]+)", arguments.split("#")[0]):
            # Typer derives the option --data-root from the parameter data_root.
            assert f'"{option}"' in code or f" {option[2:].replace('-', '_')}:" in code, path + arguments


def test_documented_extras_and_markers_are_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = [found["extras"].split(",") for _, found in documented(re.compile(r"^pip install '\.\[(?P<extras>.*)\]'"))]
    assert {extra for names in extras for extra in names} <= set(project["project"]["optional-dependencies"])
    markers = {found["marker"] for _, found in documented(re.compile(r".*pytest.* -m (?P<marker>\w+)"))}
    declared = {marker.split(":")[0] for marker in project["tool"]["pytest"]["ini_options"]["markers"]}
    assert {"slow", "browser", "gpu"} <= markers <= declared
