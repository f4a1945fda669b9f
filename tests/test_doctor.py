"""``auxface doctor``: what it reports, for a user and for a program."""

import json
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from auxface import doctor
from auxface.cli.app import app


def test_doctor_reports_versions_and_machine():
    report = doctor()
    assert report["versions"]["torch"] == version("torch")
    assert "-core " in report["machine"]
    assert set(report) <= {"versions", "machine", "commit", "optional"}


def test_doctor_names_the_extra_that_installs_a_part(monkeypatch):
    monkeypatch.setitem(doctor.__globals__["_OPTIONAL"], "video", "no_such_module")
    monkeypatch.setitem(doctor.__globals__["_OPTIONAL"], "serve", "json")
    optional = doctor()["optional"]
    assert optional["video"] == "missing (pip install 'auxface[video]')"
    assert optional["serve"] == "ready"


def test_doctor_reports_every_extra_for_users():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert {*doctor()["optional"]} == {*project["optional-dependencies"]} - {"dev", "docs"}


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_the_command_prints_the_report(arguments):
    done = CliRunner().invoke(app, ["doctor", *arguments])
    assert done.exit_code == 0
    if arguments:
        assert json.loads(done.stdout) == doctor()
    else:
        assert f"torch {version('torch')}" in done.stdout
