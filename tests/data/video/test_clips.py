"""Clips of videos and of strips: the right frames, decoded once, and unreadable files listed."""

from dataclasses import replace

import av
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from auxface.data.augment.presets import PRESETS, make_views
from auxface.data.images.decode import fit_square
from auxface.data.manifest import Label, Manifest
from auxface.data.random import sample_seeds
from auxface.data.samples import load_clip_samples, load_image_samples
from auxface.data.synthetic import describe_clip, render_clip
from auxface.data.video import clips as clips_module
from auxface.data.video.clips import (
    ClipSampling,
    flatten_frames,
    frames_to_channels,
    load_clips,
    per_frame,
    read_clips,
    unflatten_frames,
)
from auxface.data.video.frames import stream_frames
from auxface.data.video.h264 import write_video
from auxface.errors import InputError

SAMPLING = ClipSampling(frames=4, stride=2, per_video=3, size=16)


def gray_video(path, frames, *, size=(32, 32)):
    """Write a video whose frame n has the gray level 8 n."""
    write_video(path, (np.full((*size, 3), 8 * number, np.uint8) for number in range(frames)), rate_factor=1)
    return path


def manifest_of(root, names, **columns):
    rows = {"path": names, "split": "train", "dataset": "d", "source": names, "video": "", "frame": 0, "method": ""}
    table = pd.DataFrame(rows | {"forged": [place % 2 for place in range(len(names))]} | columns)
    return Manifest(table, {"forged": Label("binary", ("real", "fake"))}, root=root)


def numbers(clip):
    return (clip.reshape(len(clip), -1).mean(1) / 8).round().astype(int).tolist()


def test_clips_are_spread_and_have_the_right_frames(tmp_path):
    path = gray_video(tmp_path / "v.mp4", 25)
    found = list(read_clips(path, SAMPLING))
    assert [first for first, _ in found] == [3, 9, 15]
    for first, clip in found:
        assert clip.shape == (4, 3, 16, 16)
        assert numbers(clip) == [first, first + 2, first + 4, first + 6]


def test_overlapping_clips_decode_each_frame_once(tmp_path, monkeypatch):
    path = gray_video(tmp_path / "v.mp4", 9)
    asked = []
    read = clips_module.read_frames
    monkeypatch.setattr(clips_module, "read_frames", lambda p, i, wanted: asked.append(wanted) or read(p, i, wanted))
    found = list(read_clips(path, SAMPLING))
    assert [numbers(clip) for _, clip in found] == [[0, 2, 4, 6], [1, 3, 5, 7], [2, 4, 6, 8]]
    assert asked == [list(range(9))]


def test_a_strip_of_frames_is_one_clip(tmp_path):
    strip = np.concatenate([np.full((20, 20, 3), 8 * number, np.uint8) for number in range(4)])
    Image.fromarray(strip).save(tmp_path / "s.png")
    ((first, clip),) = read_clips(tmp_path / "s.png", SAMPLING)
    assert (first, numbers(clip)) == (0, [0, 1, 2, 3])


def test_unreadable_clips_are_listed_and_others_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("AUXFACE_CACHE", str(tmp_path / "cache"))
    gray_video(tmp_path / "good.mp4", 25)
    gray_video(tmp_path / "short.mp4", 6)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    Image.new("RGB", (64, 64)).save(tmp_path / "still.png")
    manifest = manifest_of(tmp_path, ["broken.mp4", "good.mp4", "short.mp4", "still.png", "gone.mp4"])
    part = load_clip_samples(manifest, "train", SAMPLING)
    assert part.images.shape == (3, 4, 3, 16, 16)
    assert part.manifest.table["frame"].tolist() == [3, 9, 15]
    assert part.manifest.table["video"].tolist() == ["good.mp4"] * 3
    assert part.manifest.table["forged"].tolist() == [1, 1, 1]
    reasons = dict(zip(part.rejected["path"], part.rejected["reason"], strict=True))
    assert reasons == {
        "broken.mp4": "not a video",
        "short.mp4": "6 frames, but a clip needs 7",
        "still.png": "an image; expected a video, or an image of 4 frames stacked vertically",
        "gone.mp4": "no such file",
    }
    # Read from the cache, not decoded again.
    monkeypatch.setattr(clips_module, "read_clips", lambda *_: pytest.fail("decoded again"))
    assert np.array_equal(load_clip_samples(manifest, "train", SAMPLING).images, part.images)


def test_rows_of_one_video_keep_unique_keys(tmp_path, monkeypatch):
    monkeypatch.setenv("AUXFACE_CACHE", str(tmp_path / "cache"))
    for name in ("a.mp4", "b.mp4"):
        gray_video(tmp_path / name, 25)
    manifest = manifest_of(tmp_path, ["a.mp4", "b.mp4"], source="s", video="v", frame=[0, 6])
    table = load_clip_samples(manifest, "train", SAMPLING).manifest.table
    assert not table.duplicated(["dataset", "method", "source", "video", "frame"]).any()


def test_clips_of_another_length_are_refused(tmp_path):
    manifest = replace(manifest_of(tmp_path, ["a.png"]), crop={"clip": {"length": 16, "stride": 4}})
    with pytest.raises(InputError, match=r"clips have 16 frames, but the recipe uses 4; set encoder.num_frames=16"):
        load_clips(manifest, SAMPLING, folder=tmp_path / "cache")


def test_no_readable_clip_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("AUXFACE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"none of the clips of the 1 videos of 'val' can be read \(a.mp4: empty file\)"
    ):
        load_clip_samples(manifest_of(tmp_path, ["a.mp4"]), "val", SAMPLING)
    with pytest.raises(InputError, match="clips with recipe l_ssat_video"):
        load_image_samples(manifest_of(tmp_path, ["a.mp4"]), "val", 16)


@pytest.mark.parametrize("preset", PRESETS)
def test_frames_of_a_clip_share_every_augmentation(preset):
    image = torch.randint(0, 256, (2, 1, 3, 40, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    clips = image.expand(-1, 5, -1, -1, -1).contiguous()
    for epoch in range(6):
        seeds = sample_seeds(1, epoch, torch.arange(2))
        views = make_views(clips, seeds, preset, size=32)
        assert views.affine.shape == (2, 2, 3)
        for still in (views.primary, views.clean):
            assert still.shape == (2, 5, 3, 32, 32)
            assert all(torch.equal(still[:, 0], still[:, at]) for at in range(1, 5))
        if preset != "none":
            # A frame is changed as an image with the clip's seed would be.
            alone = make_views(image[:, 0], seeds, preset, size=32)
            torch.testing.assert_close(alone.primary, views.primary[:, 0], rtol=1e-4, atol=1e-5)
            assert torch.equal(alone.affine, views.affine)


def test_functions_of_clips_leave_images_as_they_are():
    images, seeds = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8), torch.arange(3)
    frames, each = flatten_frames(images, seeds)
    assert torch.equal(frames, images)
    assert torch.equal(each, seeds)
    assert torch.equal(unflatten_frames(frames, images), images)
    assert torch.equal(frames_to_channels(images), images)


def test_frames_are_numbered_consecutively_for_corruptions():
    asked = []

    def change(frames, start):
        asked.append((len(frames), start))
        return frames + 1

    clips = torch.zeros(2, 4, 3, 8, 8, dtype=torch.uint8)
    assert torch.equal(per_frame(change)(clips, 6), clips + 1)
    assert asked == [(8, 24)]


def test_a_forged_synthetic_clip_flickers_in_the_face_only():
    real, forged = (np.stack(list(render_clip(number, frames=8, seed=4, size=48))).astype(int) for number in (6, 7))
    change = [np.abs(np.diff(clip, axis=0)).mean(axis=(0, 3)) for clip in (real, forged)]
    face, corner = (slice(18, 34), slice(16, 32)), (slice(0, 6), slice(0, 6))
    assert change[1][face].mean() > 4 * change[0][face].mean()
    assert change[1][corner].mean() == pytest.approx(change[0][corner].mean(), abs=1.0)
    about = [describe_clip(number, seed=4)[1] for number in (6, 7)]
    assert [row["forged"] for row in about] == [0, 1]
    assert about[0]["source"] == about[1]["source"]
    assert about[0]["video"] != about[1]["video"]


def test_single_frames_of_forged_and_real_clips_look_equal():
    pairs = [list(render_clip(number, frames=2, seed=5, size=48)) for number in range(120)]
    faces = np.asarray(pairs)[:, :, 16:36, 15:33].astype(float).mean(axis=4)
    forged = [describe_clip(number, seed=5)[1]["forged"] for number in range(120)]
    in_time = np.abs(np.diff(faces, axis=1)).mean(axis=(1, 2, 3))
    assert roc_auc_score(forged, in_time) > 0.99
    tone, sharpness = faces[:, 0].mean(axis=(1, 2)), np.abs(np.diff(faces[:, 0], axis=1)).mean(axis=(1, 2))
    # 120 clips, two per person: AUCs of unrelated scores are within 0.5 +- 0.15.
    for figure in (tone, sharpness, sharpness / tone):
        assert roc_auc_score(forged, figure) == pytest.approx(0.5, abs=0.15)


def test_equal_frames_are_written_as_equal_bytes(tmp_path):
    # With its defaults, x264 wrote up to six different files of these clips.
    rng = np.random.default_rng(0)
    for number in (159, 407):
        frames, files = list(render_clip(number, frames=4, seed=3, size=48)), set()
        for _ in range(20):
            used = [rng.integers(0, 255, rng.integers(100, 60_000)).astype(np.uint8) for _ in range(20)]
            del used[::2]
            write_video(tmp_path / "a.mp4", frames)
            files.add((tmp_path / "a.mp4").read_bytes())
        assert len(files) == 1


def test_a_written_video_is_h264_and_is_read_back(tmp_path):
    frames = list(render_clip(0, frames=6, seed=1, size=64))
    write_video(tmp_path / "a.mp4", frames)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    read = [frame for _, frame in stream_frames(tmp_path / "a.mp4")]
    assert len(read) == 6
    assert np.abs(np.stack(read).astype(int) - np.stack(frames)).mean() < 4
    assert fit_square(read[0], 32).shape == (32, 32, 3)
    write_video(tmp_path / "b.mp4", frames)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    with pytest.raises(InputError, match="cannot be written"):
        write_video(tmp_path / "c.mp4", [np.zeros((15, 15, 3), np.uint8)])
    assert not (tmp_path / "c.mp4").exists()
