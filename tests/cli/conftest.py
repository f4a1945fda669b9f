import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from auxface.cli import main
from auxface.data.prepare.prepare import prepare
from auxface.training.train import train

SMALL = (
    "encoder.image_size=32",
    "encoder.patch_size=8",
    "encoder.width=32",
    "encoder.depth=1",
    "encoder.heads=2",
    "auxiliary.decoder_width=16",
    "auxiliary.decoder_depth=1",
    "auxiliary.decoder_heads=2",
    "train.epochs=1",
    "train.batch_size=16",
    "train.augment=none",
)


@pytest.fixture(scope="session")
def sixty(tmp_path_factory) -> Path:
    """A manifest of 60 synthetic faces."""
    folder = tmp_path_factory.mktemp("sixty")
    options = {"count": 60, "seed": 0, "size": 32}
    prepare("synthetic", folder / "images", out=folder / "faces.parquet", options=options)
    return folder / "faces.parquet"


@pytest.fixture(scope="session")
def model(sixty, tmp_path_factory) -> Path:
    """A small L-SSAT model of the tasks emotion and forged."""
    folder = tmp_path_factory.mktemp("model") / "run"
    train("l_ssat", sixty, folder, overrides=[*SMALL, "tasks=[emotion, forged]"], device="cpu")
    return folder


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
def small() -> list[str]:
    """Command line options of a model that trains in a second."""
    return [word for setting in SMALL for word in ("--set", setting)]
