"""The demo with a few faces and one epoch: what it writes, and that its best model is served and predicts."""

import json
import re
import shutil
import subprocess
import sys
import urllib.request

import pytest

import auxface
from auxface.demo import RECIPES, best_model
from auxface.model.directory import read_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    return auxface.demo(tmp_path_factory.mktemp("demo") / "demo", faces=200, epochs=1, device="cpu")


def test_the_demo_compares_equal_encoders_and_budgets(shown):
    recipes = [read_config(shown.folder / name).recipe for name in RECIPES]
    assert all(each.encoder == recipes[0].encoder and each.train == recipes[0].train for each in recipes)
    assert [each.auxiliary is None for each in recipes] == [True, False, False]
    assert set(shown.audit.models) == set(RECIPES)


def test_the_best_model_has_the_highest_validation_figure(shown):
    figures = {name: read_config(shown.folder / name).selection.value for name in RECIPES}
    assert shown.best == shown.folder / max(figures, key=figures.get)


def test_a_demo_without_its_report_has_no_best_model(shown, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(shown.folder, copy, ignore=shutil.ignore_patterns("faces", "report.html"))
    assert best_model(copy) is None


def test_links_of_the_demo_page_lead_to_files(shown):
    links = set(re.findall(r'href="([^"#]*[.](?:csv|json))"', shown.page.read_text(encoding="utf-8")))
    assert links
    assert all((shown.folder / link).is_file() for link in links)


def test_a_finished_demo_is_served_without_training(shown, monkeypatch):
    pytest.importorskip("fastapi")
    monkeypatch.setenv("BROWSER", "true")
    command = [sys.executable, "-m", "auxface", "demo", "--serve", "--port", "0", "--out", str(shown.folder)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        lines = [server.stdout.readline(), server.stdout.readline()]
        assert str(shown.best) in lines[0]
        with urllib.request.urlopen(lines[1].split()[-1] + "/model", timeout=60) as answer:
            served = json.load(answer)
    finally:
        server.terminate()
        server.wait(timeout=30)
    assert served["name"] == shown.best.name
    assert served["report"]


def test_the_best_model_predicts_a_face_of_the_demo(shown):
    (prediction,) = auxface.predict(shown.best, [next((shown.folder / "faces").rglob("*.png"))])
    assert set(prediction.faces[0].tasks) == {"attributes", "emotion"}
