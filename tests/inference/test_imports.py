"""Packages that a prediction for one image must not load, in a process of its own."""

import json
import subprocess
import sys

PROGRAM = """
import json, sys
from auxface import Predictor
prediction = Predictor.from_pretrained(sys.argv[1], device="cpu")(sys.argv[2])
assert prediction.faces, prediction.reason
print(json.dumps(sorted(sys.modules)))
"""
COMMAND = """
import json, sys
from auxface.cli import main
sys.argv = ["auxface", "predict", *sys.argv[1:], "--device", "cpu"]
try:
    main()
except SystemExit as ended:
    assert not ended.code
print(json.dumps(sorted(sys.modules)))
"""
HEAVY = {"accelerate", "matplotlib", "pandas", "pytorch_metric_learning", "scipy.stats", "sklearn"}


def loaded(program: str, *arguments: object) -> set[str]:
    """Return the modules that a program has loaded when it ends."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_predictor_loads_no_heavy_packages(model_folder, folder_of_faces):
    image = next(folder_of_faces.rglob("*.png"))
    modules = loaded(PROGRAM, model_folder, image)
    assert modules & HEAVY == set()
    assert not {name for name in modules if name.startswith(("auxface.training", "auxface.evaluation"))}


def test_predict_command_loads_no_heavy_packages(model_folder, folder_of_faces):
    image = next(folder_of_faces.rglob("*.png"))
    modules = loaded(COMMAND, model_folder, image)
    assert modules & HEAVY == set()
