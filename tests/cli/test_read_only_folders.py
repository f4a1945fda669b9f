"""Each command that writes refuses a read-only folder with one message, before its work."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from auxface.atomic import check_writable
from auxface.errors import InputError

# Root ignores the permissions of files unless it gives up these capabilities.
DROPPED = "-dac_override,-dac_read_search"
WITHOUT_PRIVILEGE = ("setpriv", f"--bounding-set={DROPPED}", f"--inh-caps={DROPPED}")
# One process runs all commands, because its imports take most of the time.
PROGRAM = """
import contextlib, io, json, sys
from auxface.cli.app import main
found = []
for command in json.load(sys.stdin):
    sys.argv = ["auxface", *command]
    errors = io.StringIO()
    code = "no exit"
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            main()
    except SystemExit as ended:
        code = ended.code
    except BaseException as error:
        code = repr(error)
    found.append((code, errors.getvalue()))
print(json.dumps(found))
"""


def test_an_output_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    check_writable(tmp_path)
    check_writable(tmp_path / "new" / "a.csv")
    (tmp_path / "file").write_text("")
    check_writable(tmp_path / "file")
    with pytest.raises(InputError, match="file is a file, not a folder"):
        check_writable(tmp_path / "file" / "new" / "a.csv")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    for output in (tmp_path, tmp_path / "file", tmp_path / "new" / "a.csv"):
        with pytest.raises(InputError, match="no permission to write in"):
            check_writable(output)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_command_refuses_a_read_only_folder(tmp_path, trained, sixty, small):
    prefix = WITHOUT_PRIVILEGE if os.geteuid() == 0 else ()
    if prefix and shutil.which("setpriv") is None:
        pytest.skip("root ignores permissions, and setpriv is not installed")
    folder, run, image = tmp_path / "ro", tmp_path / "run", sixty.parent / "images"
    folder.mkdir()
    shutil.copytree(trained, run)
    rows = "".join(f"{number % 2},0.{number},{'ab'[number % 3 // 2]}\n" for number in range(10))
    (tmp_path / "t.csv").write_text(f"true.forged,score.forged,group.sex\n{rows}")
    (tmp_path / "study.yaml").write_text(
        f"name: s\nabout: a study\ndata:\n- {{name: d, manifest: {sixty.name}, task: forged}}\n"
        "methods: {a: {recipe: supervised}}\nseeds: [0]\ncompare: {baseline: a, metric: auc}\n"
    )
    picture = next(path for path in sorted(image.rglob("*.png")))
    commands = [
        ("audit", "t.csv", "-o", "ro/a"),
        ("audit", "t.csv", "-o", "ro"),
        ("evaluate", trained, "--data", sixty, "-o", "ro/a"),
        ("predict", trained, picture, "-o", "ro/a"),
        ("explain", trained, picture, "-o", "ro/a.png"),
        ("export", trained, "-o", "ro/a.onnx"),
        ("embed", trained, image, "-o", "ro/a.parquet"),
        ("prepare", "folder", image, "-o", "ro/a.parquet"),
        ("prepare", "synthetic", tmp_path / "ro" / "faces", "-o", tmp_path / "new.parquet"),
        ("data", "show", sixty, "-o", "ro/a.html"),
        ("data", "shard", sixty, "-o", "ro/a"),
        ("plan", sixty, "-o", "ro/a.yaml"),
        ("train", "supervised", "--data", sixty, "-o", "ro/a", *small),
        ("train", "--resume", run),
        ("texture", picture, "-o", "ro/a.png"),
        ("study", "run", "study.yaml", "-o", "ro/a", "--data-root", sixty.parent),
        ("demo", "-o", "ro/a"),
    ]
    for place in (folder, run):
        place.chmod(0o555)
    process = subprocess.run(
        [*prefix, sys.executable, "-c", PROGRAM],
        input=json.dumps([list(map(str, command)) for command in commands]),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    for command, (code, errors) in zip(commands, json.loads(process.stdout), strict=True):
        messages = [line for line in errors.splitlines() if line.startswith("auxface: ")]
        assert (code, len(messages)) == (2, 1), (command, code, errors)
        assert "permission" in messages[0], (command, messages)
    assert list(folder.iterdir()) == []
