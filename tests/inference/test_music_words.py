"""Messages, pages and cards of a run on music name excerpts and tracks; those of faces name faces and people."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from auxface.cli.app import app
from auxface.data.manifest import Label, Manifest, write_manifest
from auxface.data.show import show_data
from auxface.inference.predict import predict
from auxface.sample_kind import FACES, MUSIC, kind_of

SPLITS = ["train"] * 6 + ["val"] * 3 + ["test"] * 4
EACH = 3
OF_FACES = re.compile(r"\b(face|faces|person|people|photo\w*|images?)\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    """Thirteen tracks with three log-mel images each, in which a track is a coarse pattern."""
    folder = tmp_path_factory.mktemp("tracks")
    rng, rows = np.random.default_rng(0), []
    for number, split in enumerate(SPLITS):
        pattern = rng.integers(0, 256, (4, 4)).repeat(8, 0).repeat(8, 1)
        for excerpt in range(EACH):
            pixels = (0.7 * pattern + 0.3 * rng.integers(0, 256, (32, 32))).astype(np.uint8)
            name = f"{number:02d}-{excerpt}.png"
            Image.fromarray(pixels).save(folder / name)
            rows.append({"path": name, "split": split, "source": f"{number:02d}", "frame": excerpt})
    table = pd.DataFrame(rows).assign(dataset="drawn", video="", method="")
    table["track"], table["fast"] = table["source"], np.arange(len(table)) // EACH % 2
    labels = {"track": Label("identity"), "fast": Label("binary", ("slow", "fast"))}
    crop = {"spectrogram": {"seconds": 4.0}}
    write_manifest(Manifest(table, labels, (), crop), folder / "tracks.parquet")
    (folder / "tracks.rejected.csv").write_text("path,reason,status,split,dataset,method,source,video,frame\n")
    return folder / "tracks.parquet"


@pytest.fixture(scope="module")
def run(tracks, small_settings, tmp_path_factory):
    """The folder of a model that was trained on the tracks, and what the command printed."""
    folder = tmp_path_factory.mktemp("music") / "run"
    settings = [each for each in small_settings if not each.startswith("auxiliary")]
    settings += ["train.epochs=1", "train.augment=none", "tasks=[track, fast]"]
    given = [part for each in settings for part in ("--set", each)]
    command = ["train", "metric_learning", "--data", str(tracks), "--out", str(folder), "--device", "cpu", *given]
    shown = CliRunner().invoke(app, command, catch_exceptions=False)
    assert shown.exit_code == 0
    return folder, shown.output


def of_faces(text):
    """The words for faces in the text of a page or message; log-mel images are images, and singers are people."""
    text = text.replace(MUSIC.consent, "")
    text = re.sub(r"<(script|style|svg).*?</\1>|<[^>]+>|Log-mel images?|log-mel images?", " ", text, flags=re.DOTALL)
    return OF_FACES.findall(text)


def test_the_kind_follows_from_the_recorded_crop():
    assert kind_of({"spectrogram": {"seconds": 4.0}}) is MUSIC
    assert kind_of(None) is kind_of({}) is kind_of({"detector": "yunet"}) is kind_of({"clip": {"length": 8}}) is FACES


def test_training_on_tracks_reports_excerpts(run):
    folder, output = run
    assert "two excerpts are considered the same track" in output
    assert of_faces(output) == []
    card = (folder / "README.md").read_text().partition("## Provenance")[0]
    assert "A music model" in card
    assert of_faces(card) == []


def test_a_dry_run_on_tracks_reports_excerpts(tracks, small_settings):
    settings = [part for each in [*small_settings, "tasks=[fast]"] for part in ("--set", each)]
    command = ["train", "supervised", "--check", "--data", str(tracks), "--device", "cpu", *settings]
    shown = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "on two excerpts" in shown.output
    assert of_faces(shown.output) == []


def test_the_page_of_a_manifest_of_tracks_names_log_mel_images(tracks, tmp_path):
    show_data(tracks, tmp_path / "tracks.html")
    page = (tmp_path / "tracks.html").read_text()
    assert "Log-mel images of excerpts of music: seconds 4.0." in page
    assert "Face" not in page


def test_scores_of_log_mel_images_come_without_notes_on_faces(run, tracks):
    notes = []
    predict(run[0], [tracks.parent / "12-0.png"], device="cpu", warn=notes.append)
    assert notes == []


def test_pages_and_messages_on_tracks_name_excerpts(run, tracks, tmp_path):
    model, table, page = str(run[0]), str(tmp_path / "test.parquet"), tmp_path / "hits.html"
    runner = CliRunner()
    query = str(tracks.parent / "12-0.png")
    evaluate = ["evaluate", model, "--data", str(tracks), "--resamples", "100"]
    for command in (
        ["embed", model, str(tracks), "--split", "test", "-o", table],
        ["search", table, query, "-k", "2", "-o", str(page)],
        [*evaluate, "--out", str(tmp_path / "pairs"), "--pairs", "track"],
        [*evaluate, "--out", str(tmp_path / "eval"), "--corruption", "none"],
    ):
        shown = runner.invoke(app, [*command, "--device", "cpu"], catch_exceptions=False)
        assert shown.exit_code == 0, shown.output
        assert of_faces(shown.output.replace(str(tmp_path), "")) == [], shown.output
    for file in (page, tmp_path / "pairs" / "report.html"):
        assert of_faces(file.read_text()) == []
    assert "Failure to detect" not in (tmp_path / "eval" / "report.html").read_text()
    assert MUSIC.consent in (tmp_path / "pairs" / "report.html").read_text()
