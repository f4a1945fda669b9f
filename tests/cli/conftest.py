import os
import sys
from types import SimpleNamespace

import pytest

from auxface.cli import main


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the command line in this process, in an empty folder; return exit code, output, errors and new files."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["auxface", *map(str, arguments)])
        before = set(os.listdir(tmp_path))
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        # A journal, with which a second run resumes, is not an output.
        made = {name for name in set(os.listdir(tmp_path)) - before if not name.endswith(".journal")}
        return SimpleNamespace(code=ended.value.code, out=captured.out, err=captured.err, made=made)

    return call


@pytest.fixture
def refused(run):
    """Run a command that must fail with exit code 2 and one message, and write nothing; return the message."""

    def call(*arguments) -> str:
        done = run(*arguments)
        messages = [line for line in done.err.splitlines() if line.startswith("auxface: ")]
        assert (done.code, done.out, len(messages)) == (2, "", 1), done.err
        assert "Traceback" not in done.err
        assert done.made == set()
        return messages[0]

    return call


@pytest.fixture(scope="session")
def small(small_settings) -> list[str]:
    """Command line options of a model that trains in a second."""
    return [word for setting in small_settings for word in ("--set", setting)]
