"""The names of ``import auxface``."""

import doctest
import importlib
import inspect
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest

import auxface
from auxface.cli.app import app

HEAVY = {"torch", "numpy", "pandas", "scipy", "sklearn", "timm", "accelerate", "pydantic", "matplotlib", "cv2"}
COMMANDS = {"data": "show_data", "serve": "serve_model", "texture": "texture_sheet", "audit plan": "plan_audit"}


def in_new_process(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_auxface_loads_no_library():
    assert not HEAVY & set(in_new_process("import auxface, sys; dir(auxface); print(*sys.modules)"))


def test_evaluation_loads_without_torch():
    assert "torch" not in in_new_process("import auxface, sys; auxface.evaluation.ScoredTask; print(*sys.modules)")


def test_texture_loads_torch_alone():
    loaded = in_new_process("import auxface, sys; auxface.texture.describe; print(*sys.modules)")
    assert not {"pandas", "sklearn", "timm", "accelerate", "cv2"} & set(loaded)


@pytest.mark.parametrize("name", auxface.__all__)
def test_every_public_name_resolves_and_is_documented(name):
    found = getattr(auxface, name)
    assert name in dir(auxface)
    documentation = inspect.getdoc(found) or ""
    assert documentation.splitlines()[0].endswith(".")
    assert f"\n    {name} " in (auxface.__doc__ or "")


def test_help_shows_the_docstring_of_every_function():
    page = pydoc.plain(pydoc.render_doc(auxface))
    for name in auxface.__all__:
        if inspect.isroutine(getattr(auxface, name)):
            assert f"    {name}(" in page
            assert inspect.getdoc(getattr(auxface, name)).splitlines()[0] in page


def test_every_command_has_a_function():
    names = [command.name for command in app.registered_commands] + [group.name for group in app.registered_groups]
    assert len(names) > 12
    assert {COMMANDS.get(name, name) for name in names} <= set(auxface.__all__)


@pytest.mark.parametrize("name", ["demo", "doctor"])
def test_a_function_keeps_its_name_beside_its_module(name):
    code = f"import auxface.{name}; from auxface.{name} import {name}; print(callable(auxface.{name}))"
    assert in_new_process(code) == ["True"]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = auxface.trian


def test_the_example_of_the_package_runs():
    assert doctest.testmod(auxface).attempted >= 2
    assert doctest.testmod(auxface).failed == 0


# In this order: an example reads the files that those before it write.
EXAMPLES = (
    *("prepare", "show_data", "write_shards", "merge_manifests", "texture_sheet", "texture_learnable"),
    *("plan", "train", "evaluate", "audit", "plan_audit", "predict", "explain"),
    *("embed", "search", "verify"),
    *("export", "Predictor", "JointModel", "demo", "doctor", "study", "study_power", "study_report", "serve_model"),
)


def test_the_examples_of_the_functions_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {*EXAMPLES} == {*auxface.__all__} - {"evaluation", "texture"}
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    for name in EXAMPLES:
        (example,) = finder.find(getattr(auxface, name), name, globs={})
        assert example.examples, name
        assert runner.run(example).failed == 0, name


def test_dir_lists_the_api_only():
    assert {name for name in dir(auxface) if not name.startswith("__")} == set(auxface.__all__)


@pytest.mark.parametrize("page", ["auxface", "evaluation", "extending", "recipe", "texture"])
def test_the_reference_lists_names_that_exist(page):
    for module, names in reference(page):
        assert names
        assert [name for name in names if not hasattr(importlib.import_module(module), name)] == []


@pytest.mark.parametrize("module", ["auxface", "auxface.texture", "auxface.evaluation", "auxface.recipe"])
def test_the_reference_lists_every_public_name(module):
    listed = [name for one, names in reference(module.split(".")[-1]) if one == module for name in names]
    # METRICS is a dictionary and described in a sentence; each package has its own page.
    expected = set(importlib.import_module(module).__all__) - {"METRICS", "evaluation", "texture"}
    assert set(listed) == expected
    assert len(listed) == len(expected)


def reference(page):
    """(module, names) of each list of a page in docs/api."""
    text = (Path(__file__).parents[1] / "docs" / "api" / f"{page}.md").read_text()
    lists = re.findall(r"currentmodule:: (\S+)\n(.*?)```", text, re.DOTALL)
    return [(module, re.findall(r"^   (\w+)$", names, re.MULTILINE)) for module, names in lists]
