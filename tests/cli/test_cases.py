"""The inputs of ../shared/cases by the commands that people run: exit code 0, or exit code 2 and one message."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from auxface.data.images.decode import read_image
from auxface.data.media import is_heic
from auxface.model import JointModel
from auxface.model.saved_model import fetch_model, save_model

CASES = Path(__file__).parents[3] / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the case files are not beside the checkout")

# Table to options, and whether the figures are those of plain.csv; or to what the message must hold.
READ = {
    "01_semicolon_decimalcomma.csv": ((), True),
    "03_decimalcomma_quoted.csv": ((), True),
    "06_utf16.csv": ((), True),
    "07_tab.tsv": ((), True),
    "09_gz.csv.gz": ((), True),
    "11.jsonl": ((), True),
    "12_spaces_header.csv": ((), True),
    "13_string_labels_binary.csv": (("--positive", "fake face"), True),
    "17_truefalse_strings.parquet": (("--positive", "true"), True),
    "20_yn.csv": (("--positive", "y"), True),
    "21_prob0_prob1.csv": ((), True),
    "22_ytrue_ypred_yscore.csv": ((), True),
    "23_deepfakebench.csv": ((), True),
    "24_aiface.csv": ((), True),
    "26_hard_predicted.csv": ((), False),
    "27_score_and_predicted.csv": ((), True),
    "34_duplicates_nokey.csv": ((), False),
    "39_all_negative.csv": ((), False),
    "40_one_class_in_group.csv": ((), False),
    "44_xss.csv": ((), False),
    "45_csvinjection_dollar_newline.csv": ((), True),
    "55_dirty_levels.csv": (("--clean-levels",), True),
    "56_weights.csv": (("--weight", "weight"), False),
    "57_cosine.csv": (("--kind", "verification"), True),
    "60_class_int_cols.csv": ((), False),
    "61_class_int_cols_one_unknown.csv": ((), False),
    "62_class_hard.csv": ((), False),
    "72_decimal.parquet": ((), True),
}
REFUSED = {
    "13_string_labels_binary.csv": "--positive",
    "17_truefalse_strings.parquet": "--positive",
    "20_yn.csv": "--positive",
    "33_inf.csv": "row 6",
    "48_two_splits.csv": "--split",
    "57_cosine.csv": "--kind verification",
}
FAST_READ = ("01_semicolon_decimalcomma.csv", "17_truefalse_strings.parquet", "39_all_negative.csv", "24_aiface.csv")
FAST_REFUSED = ("20_yn.csv", "33_inf.csv")
FRAMES = {
    "plain.mp4": 20, "hflip.mp4": 20, "vflip.mp4": 20, "transp.mp4": 20, "h264_bf.avi": 20, "cover_first.mkv": 20,
    "mpeg1_es.mpg": 20, "sar.mp4": 20, "gap231d.mkv": 3, "raw264.mp4": 20, "cuttail_mpeg2_50.mpg": None,
}  # fmt: skip
FAST_FRAMES = ("h264_bf.avi", "gap231d.mkv")


def marked(names, fast):
    """Return parameters of which only the names in ``fast`` are tried in the fast tests."""
    return [pytest.param(name, marks=() if name in fast else pytest.mark.slow) for name in names]


def figures(done) -> dict[str, float]:
    assert done.code == 0, done.err
    (task,) = json.loads(done.out)["tasks"].values()
    return {name: task["overall"].get(name, {}).get("value") for name in ("accuracy", "auc", "selection_rate")}


def only_message(done) -> str:
    messages = [line for line in done.err.splitlines() if line.startswith("auxface: ")]
    assert (done.code, len(messages)) == (2, 1), done.err
    assert "Traceback" not in done.err
    assert done.made == set()
    return messages[0]


def audit(run, name, *options):
    return run("audit", CASES / "tables" / name, *options, "--resamples", 100, "--json", "-o", f"{name}.report")


@pytest.mark.slow
def test_every_case_is_tried():
    """A new case needs an expected outcome here."""
    assert {path.name for path in (CASES / "tables").iterdir()} == {*READ, *REFUSED, "plain.csv"}
    assert {path.name for path in (CASES / "videos").iterdir()} == {*FRAMES, "concat.mp4"}


@pytest.mark.parametrize("name", marked(READ, FAST_READ))
def test_a_case_table_is_audited(run, name):
    options, as_plain = READ[name]
    found = figures(audit(run, name, *options))
    assert found["accuracy"] is not None
    if as_plain:
        assert found == pytest.approx(figures(audit(run, "plain.csv")))


@pytest.mark.parametrize("name", marked(REFUSED, FAST_REFUSED))
def test_a_case_table_is_refused_with_one_message(run, name):
    assert REFUSED[name] in only_message(audit(run, name))


def predictions(run, model, *inputs):
    done = run("predict", model, *inputs, "--json", "--faces", "whole", "--looks", 0)
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_case_images_are_predicted_as_their_pixels(run, trained, tmp_path):
    """Every image has the answers of a PNG of its pixels; HEIC without its reader is listed with what to install."""
    has_heic = importlib.util.find_spec("pi_heif") is not None
    paths = sorted((CASES / "images").iterdir())
    readable = [path for path in paths if has_heic or not is_heic(path.read_bytes()[:64])]
    (tmp_path / "pixels").mkdir()
    for number, path in enumerate(readable):
        Image.fromarray(read_image(path)).save(tmp_path / "pixels" / f"{number:02d}.png")
    found = {Path(each["input"]).name: each for each in predictions(run, trained, CASES / "images")}
    assert set(found) == {path.name for path in paths}
    expected = predictions(run, trained, tmp_path / "pixels")
    assert len(readable) >= 9
    for path, each in zip(readable, expected, strict=True):
        assert found[path.name]["faces"][0]["tasks"] == each["faces"][0]["tasks"], path.name
    for path in set(paths) - set(readable):
        assert "pip install 'auxface[heif]'" in found[path.name]["reason"]


@pytest.mark.parametrize("name", marked(FRAMES, FAST_FRAMES))
def test_a_case_video_is_predicted(run, trained, name):
    [found] = predictions(run, trained, CASES / "videos" / name)
    video = found["video"]
    if FRAMES[name] is not None:
        assert video["frames"] == FRAMES[name]
    assert video["looked_at"] == video["frames"] > 0
    assert video["tasks"]


def test_the_concat_case_opens_no_other_file(run, trained):
    assert "concat.mp4" in only_message(run("predict", trained, CASES / "videos" / "concat.mp4", "--json"))


@pytest.mark.parametrize("weights", ["one NaN", "all NaN", "overflow"])
def test_a_model_without_finite_scores_is_not_served(run, trained, tmp_path_factory, weights):
    saved = fetch_model(trained)
    model: JointModel = saved.model
    with torch.no_grad():
        for weight in model.parameters():
            if weights == "one NaN":
                weight.flatten()[0] = np.nan
            else:
                weight.fill_(np.nan if weights == "all NaN" else 3e38)
    folder = tmp_path_factory.mktemp("nan") / "model"
    save_model(model, folder, saved.config)
    message = only_message(run("serve", folder, "--port", 0))
    assert "finite" in message
