#!/usr/bin/env python3
"""Install the wheel in fresh environments and use it: without an extra, with each extra, with all extras.

    .ci/installs.py                                 # newest versions of the dependencies
    .ci/installs.py --resolution lowest-direct      # lowest versions that pyproject.toml declares
    .ci/installs.py --extras none,export            # some environments only

Each environment runs the help, `doctor`, a preparation of synthetic faces, a short training run and a prediction, and
then one command that needs the extra. The script needs uv, prints one row of a Markdown table per environment, and ends
with exit code 1 if a row failed. Environments are made one after another in the same folder and removed afterwards.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEVELOPMENT = ("dev", "docs")
SMALL = (
    "--device cpu --set tasks=[emotion] --set encoder.image_size=32 --set encoder.patch_size=8 --set encoder.width=32 "
    "--set encoder.depth=1 --set encoder.heads=2 --set train.epochs=1 --set train.batch_size=16"
)
BASE = (
    "auxface --help",
    "auxface doctor",
    "auxface prepare synthetic faces --count 60 --size 48 -o faces.parquet",
    f"auxface train supervised --data faces.parquet --out run {SMALL}",
    "auxface predict run faces/000000.png --json",
)
SHEET = (
    "import pandas as pd; "
    "pd.DataFrame({'true.a': [0, 1] * 30, 'score.a': [0.2, 0.7, 0.6] * 20}).to_excel('table.xlsx', index=False)"
)
OWN = {
    "video": ["auxface prepare synthetic_clips clips --count 2 --length 16 -o clips.parquet"],
    "serve": ["auxface serve --help", ["python", "-c", "import auxface.serve.app, uvicorn"]],
    "export": ["auxface export run -o model.onnx", "auxface predict model.onnx faces/000000.png --json"],
    "tensorboard": [f"auxface train supervised --data faces.parquet --out board {SMALL} --set train.tensorboard=true"],
    "weights": [
        "auxface train supervised --data faces.parquet --out lite --device cpu --set train.epochs=1 "
        "--set tasks=[emotion] --set encoder.image_size=64 --set encoder.name=efficientnet_lite0 "
        "--set encoder.init_from=packaged"
    ],
    "excel": [["python", "-c", SHEET], "auxface audit table.xlsx --out audit"],
    "heif": [["python", "-c", "import pi_heif; pi_heif.register_heif_opener()"]],
    "audio": ["auxface prepare synthetic_tracks audio -o tracks.parquet --crops tracks --count 4 --size 48"],
    "faiss": [
        "auxface embed run faces.parquet --split test -o embeddings.parquet",
        "auxface search embeddings.parquet faces/000000.png -k 2 -o hits.html",
    ],
}


def main() -> int:
    """Check the environments that the command line selects and return the exit code."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = ["none", *(extra for extra in extras if extra not in DEVELOPMENT), "all"]
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--resolution", choices=("highest", "lowest-direct"), default="highest")
    options.add_argument("--extras", type=lambda text: text.split(","), default=names, metavar="NAME,NAME")
    options.add_argument("--python", default=f"{sys.version_info.major}.{sys.version_info.minor}")
    options.add_argument("--uv", default=shutil.which("uv") or str(ROOT / ".venv/bin/uv"))
    given = options.parse_args()
    if unknown := set(given.extras) - set(names):
        options.error(f"unknown extra {', '.join(sorted(unknown))}; expected {', '.join(names)}")
    print(f"Python {given.python}, {platform.machine()} {platform.system()}, {given.resolution}\n", flush=True)
    print("| extra | result | torch | numpy | pandas |\n|---|---|---|---|---|", flush=True)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        run([given.uv, "build", "--quiet", "--wheel", "--out-dir", folder, str(ROOT)], Path(folder))
        (wheel,) = Path(folder).glob("*.whl")
        for name in given.extras:
            chosen = {"none": [], "all": names[1:-1]}.get(name, [name])
            failed += not check(name, chosen, wheel, given)
    return int(failed > 0)


def check(name: str, extras: list[str], wheel: Path, given: argparse.Namespace) -> bool:
    """Install the wheel with the extras, use it, print one row, and return whether everything worked."""
    work, environment = wheel.parent / "work", wheel.parent / "environment"
    work.mkdir()
    python = environment / "bin" / "python"
    commands = [*BASE, *(command for extra in extras for command in OWN.get(extra, []))]
    try:
        run([given.uv, "venv", "--quiet", "--python", given.python, str(environment)], work)
        install = [given.uv, "pip", "install", "--quiet", "--python", str(python)]
        # The dependencies come from pyproject.toml: as dependencies of the wheel, they would not be direct, and
        # `lowest-direct` would install their newest versions.
        chosen = [word for extra in extras for word in ("--extra", extra)]
        run([*install, "--resolution", given.resolution, "-r", str(ROOT / "pyproject.toml"), *chosen], work)
        run([*install, "--no-deps", str(wheel)], work)
        for command in commands:
            words = command.split() if isinstance(command, str) else command
            run([str(environment / "bin" / words[0]), *words[1:]], work)
        found = json.loads(run([str(environment / "bin" / "auxface"), "doctor", "--json"], work))["optional"]
        missing = [extra for extra in extras if found.get(extra) != "ready"]
        result = f"doctor reports no {', '.join(missing)}" if missing else f"{len(commands)} commands passed"
    except subprocess.CalledProcessError as error:
        missing = [" ".join(map(str, error.cmd))]
        last = (error.stderr or error.stdout or "").strip().splitlines()[-1:]
        result = f"failed: {Path(error.cmd[0]).name} {' '.join(error.cmd[1:4])}: {' '.join(last)}"
    versions = "import importlib.metadata as m; print(*(m.version(n) for n in ('torch', 'numpy', 'pandas')))"
    installed = subprocess.run([str(python), "-c", versions], capture_output=True, text=True).stdout.split()
    print(f"| {name} | {' | '.join([result, *(installed or ['', '', ''])])} |", flush=True)
    shutil.rmtree(environment, ignore_errors=True)
    shutil.rmtree(work)
    return not missing


def run(command: list[str], folder: Path) -> str:
    """Run a command in a folder, without this checkout's code, and return its output."""
    # The environments have the same path and the same files, so they share compiled bytecode.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder.parent / "bytecode")
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
