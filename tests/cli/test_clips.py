"""Video clips through the commands: rendered as H.264, trained on, evaluated by video, predicted, exported."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from auxface import evaluation
from auxface.data.manifest import read_manifest
from auxface.data.prepare.prepare import prepare
from auxface.data.samples import load_samples
from auxface.inference.onnx_model import OnnxModel
from auxface.model.saved_model import load_model
from auxface.model.scoring import score_images
from auxface.training.selection import video_level, video_numbers
from auxface.training.tasks import label_tensors
from auxface.training.train import train

SETTINGS = {
    "encoder.image_size": 32,
    "encoder.patch_size": 8,
    "encoder.num_frames": 8,
    "encoder.width": 24,
    "encoder.depth": 1,
    "encoder.heads": 2,
    "clips.stride": 1,
    "clips.per_video": 3,
    "auxiliary.decoder_width": 12,
    "auxiliary.decoder_depth": 1,
    "auxiliary.decoder_heads": 2,
    "tasks": "[forged, emotion]",
    "train.epochs": 2,
    "train.batch_size": 12,
}
WORDS = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
OPTIONS = {"count": 24, "size": 32, "length": 12, "split_fractions": "0.5,0.25,0.25"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    prepare("synthetic_clips", folder / "videos", out=folder / "clips.parquet", options=OPTIONS)
    return folder / "clips.parquet"


@pytest.fixture(scope="module")
def clip_model(clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip_model") / "run"
    train(
        "l_ssat_video", clips, folder, overrides=[f"{name}={value}" for name, value in SETTINGS.items()], device="cpu"
    )
    return folder


def test_a_clip_model_trains_evaluates_and_predicts(run, clips, tmp_path):
    checked = run("train", "l_ssat_video", "--data", clips, *WORDS, "--check", "--device", "cpu", "--json")
    assert checked.code == 0, checked.err
    # 12 videos with 3 clips each, two epochs, batches of 12.
    assert json.loads(checked.out)["steps"] == 6
    trained = run("train", "l_ssat_video", "--data", clips, "--out", "model", *WORDS, "--device", "cpu")
    assert trained.code == 0, trained.err
    saved = load_model(tmp_path / "model")
    assert saved.config.provenance["images"] == {"train": 36, "val": 18}

    measured = run(
        "evaluate", "model", "--data", clips, "--out", "e", "--resamples", 100, "--corruption", "jpeg_compression"
    )
    assert measured.code == 0, measured.err
    forged = json.loads((tmp_path / "e" / "report.json").read_text())["tasks"]["forged"]
    assert forged["overall"]["accuracy"]["n"] == 18
    assert forged["overall"]["accuracy"]["clusters"] == forged["videos"]["overall"]["accuracy"]["n"] == 6
    table = evaluation.read_predictions(tmp_path / "e" / "predictions.parquet").frame
    assert table.groupby("video").size().tolist() == [3] * 6

    video = read_manifest(clips).only("test").paths()[0]
    predicted = run("predict", "model", video, "--json", "--out", "p", "--overlay")
    assert predicted.code == 0, predicted.err
    (answer,) = json.loads(predicted.out)
    # The prediction of a video is the mean over its clips in the table of predictions.
    rows = table[table["video"] == f"clip_{video.stem}"]
    assert len(rows) == 3
    score = answer["video"]["tasks"]["forged"]["probabilities"]["fake"]
    assert score == pytest.approx(rows["score.forged.fake"].mean(), abs=1e-5)
    assert answer["video"]["looked_at"] == 24
    assert len(answer["video"]["tracks"][0]["frames"]) == 3
    assert {path.suffix for path in (tmp_path / "p" / "overlay").iterdir()} == {".mp4"}


def test_onnx_and_torch_give_equal_predictions(run, clips, clip_model, tmp_path):
    done = run("export", clip_model, "-o", "x.onnx", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["num_frames"] == 8
    onnx, saved = OnnxModel(tmp_path / "x.onnx"), load_model(clip_model)
    some = np.random.default_rng(0).integers(0, 256, (5, 8, 3, 32, 32)).astype(np.uint8)
    ours, theirs = score_images(saved.model, some), onnx.score_images(some)
    for name in ("forged", "emotion"):
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-4)
    video = read_manifest(clips).only("test").paths()[0]
    answers = [json.loads(run("predict", model, video, "--json").out)[0] for model in (clip_model, "x.onnx")]
    scores = [answer["video"]["tasks"]["emotion"]["probabilities"] for answer in answers]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_clips_that_prepare_wrote_keep_their_stride(run, clips, tmp_path):
    source = read_manifest(clips)
    source.table.assign(path=[str(path) for path in source.paths()]).to_csv(tmp_path / "list.csv", index=False)
    words = ["--frames", 2, "--frame-choice", "clips", "--clip-length", 4, "--clip-stride", 3, "--crops", "crops"]
    prepared = run("prepare", "table", "list.csv", "--label", "forged:binary", *words, "-o", "strips.parquet")
    assert prepared.code == 0, prepared.err
    fitting = [*WORDS, "--set", "encoder.num_frames=4", "--set", "tasks=[forged]"]
    trained = run("train", "l_ssat_video", "--data", "strips.parquet", "--out", "model", *fitting, "--device", "cpu")
    assert trained.code == 0, trained.err
    config = load_model(tmp_path / "model").config
    assert config.provenance["images"] == {"train": 24, "val": 12}
    predicted = run("predict", "model", source.paths()[0], "--json")
    frames = json.loads(predicted.out)[0]["video"]["tracks"][0]["frames"]
    # Three clips of ten frames in twelve, seen in their third frame.
    assert frames == [6, 7, 8]


def test_wrong_inputs_of_video_models_are_refused(run, refused, clips, sixty, clip_model, tmp_path):
    assert "none of the clips of the" in refused("train", "l_ssat_video", "--data", sixty, "--out", "m", *WORDS)
    small = ["--set", "encoder.image_size=32", "--set", "tasks=[forged]"]
    sentence = refused("train", "l_ssat", "--data", clips, "--out", "m", *small)
    assert "clips with recipe l_ssat_video" in sentence
    long = [*WORDS, "--set", "clips.stride=4"]
    assert "12 frames, but a clip needs 29" in refused("train", "l_ssat_video", "--data", clips, "--out", "m", *long)
    image = read_manifest(sixty).paths()[0]
    predicted = run("predict", clip_model, image)
    assert predicted.code == 2
    assert "an image, but the model was trained on video clips; use a video" in predicted.err
    sentence = refused("evaluate", clip_model, "--data", clips, "--out", "e", "--explain", 4)
    assert "this model takes video clips; remove --explain" in sentence
    assert "an image, but the model was trained on video clips" in refused(
        "explain", clip_model, image, "-o", "why.png"
    )


@pytest.mark.slow
def test_a_video_model_predicts_hair_of_held_out_people(tmp_path):
    """Chance is 0.5; the budget is ten seconds. All tasks are learned in tests/model/test_recipes_learn.py."""
    options = {"count": 200, "seed": 3, "size": 32, "length": 6, "split_fractions": "0.6,0.2,0.2"}
    prepare("synthetic_clips", tmp_path / "videos", out=tmp_path / "clips.parquet", options=options)
    settings = SETTINGS | {
        "encoder.num_frames": 4,
        "encoder.width": 48,
        "encoder.depth": 2,
        "encoder.heads": 3,
        "auxiliary.decoder_width": 24,
        "auxiliary.decoder_heads": 3,
        "tasks": "[attributes]",
        "train.epochs": 24,
        "train.batch_size": 32,
        "train.base_learning_rate": 0.02,
    }
    overrides = [f"{name}={value}" for name, value in settings.items()]
    saved = train("l_ssat_video", tmp_path / "clips.parquet", tmp_path / "run", overrides=overrides, device="cpu")
    part = load_samples(read_manifest(tmp_path / "clips.parquet").only("test"), "test", saved.config.recipe)
    logits, labels = score_images(saved.model, part.images), label_tensors(part.manifest, saved.model.tasks)
    videos = video_numbers(part.manifest.table)
    logits, labels = video_level(saved.model.tasks, logits, labels, videos)
    places = [saved.model.tasks[0].classes.index(name) for name in ("Black_Hair", "Blond_Hair", "Gray_Hair")]
    areas = [roc_auc_score(labels["attributes"][:, place], logits["attributes"][:, place]) for place in places]
    print(f"areas under the curve of {len(np.unique(videos))} videos: {np.round(areas, 2)}")
    assert np.mean(areas) > 0.75
