import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from auxface.inference.face_tracks import Tracker
from auxface.inference.predict_video import predict_video
from auxface.inference.predictor import Predictor, TorchScorer
from auxface.model.saved_model import SavedModel


@pytest.fixture(scope="module")
def predictor(saved):
    return Predictor(TorchScorer(saved, "cpu"))


def test_stored_rule_combines_frames(saved, predictor, clip):
    found = predict_video(predictor, clip, frames_per_second=0)
    assert (found.scored_frames, found.frames, found.reason) == (20, 20, None)
    assert found.seconds == pytest.approx(1.9)
    scores = found.scores[0]["forged"][:, 0]
    assert found.tasks["forged"].probabilities["forged"] == pytest.approx(scores.mean(), abs=1e-6)
    maximum = SavedModel(saved.model, saved.config.model_copy(update={"video_rule": "max"}))
    highest = predict_video(Predictor(TorchScorer(maximum, "cpu")), clip, frames_per_second=0)
    assert highest.tasks["forged"].probabilities["forged"] == pytest.approx(scores.max(), abs=1e-6)


def test_scored_frames_are_evenly_spaced_and_limited(predictor, clip):
    assert predict_video(predictor, clip, frames_per_second=5).tracks[0].frames == list(range(0, 20, 2))
    assert predict_video(predictor, clip, frames_per_second=0, max_frames=4).scored_frames == 4


def test_frames_are_scored_as_images(predictor, clip):
    from auxface.data.video.frames import stream_frames

    found = predict_video(predictor, clip, frames_per_second=0)
    frames = dict(stream_frames(clip))
    alone = predictor(frames[7]).faces[0].tasks["mood"].probabilities
    np.testing.assert_allclose(found.scores[0]["mood"][7], list(alone.values()), atol=1e-5)


def test_file_that_is_not_a_video_gives_a_reason(predictor, tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"no video at all")
    found = predict_video(predictor, tmp_path / "x.mp4")
    assert (found.reason, found.faces, found.unreadable) == ("not a video", (), True)


def test_tracks_stay_apart_when_two_faces_cross():
    tracker = Tracker()
    for step in range(10):
        left, right = (float(10 * step), 0.0, 60.0, 60.0), (200.0 - 10 * step, 100.0, 60.0, 60.0)
        boxes = [left, right] if step % 2 else [right, left]
        tracker.add(step, step / 10, boxes, [{}, {}])
    assert len(tracker.tracks) == 2
    for track in tracker.tracks:
        assert len(track.frames) == 10
        assert len({box[1] for box in track.boxes}) == 1


def test_face_absent_too_long_starts_a_new_track():
    tracker = Tracker(patience=1.0)
    box = (0.0, 0.0, 50.0, 50.0)
    for seconds in (0.0, 0.9, 3.0):
        tracker.add(int(10 * seconds), seconds, [box], [{}])
    assert [track.seconds for track in tracker.tracks] == [[0.0, 0.9], [3.0]]
    assert tracker.tracks[0].box_at(4, patience=10) == box
    assert tracker.tracks[0].box_at(25, patience=10) is None


def test_plot_table_and_json_agree(predictor, clip):
    found = predict_video(predictor, clip)
    assert len(found.scores_over_time()) == sum(len(track.frames) for track in found.tracks)
    raw = found.to_dict()
    assert raw["video"]["tracks"][0]["scores"]["forged"]["forged"][0] == pytest.approx(
        found.scores[0]["forged"][0, 0], abs=1e-5
    )
    assert len(found.plot().axes) == 3


def test_dollar_signs_in_a_plot_are_plain_text(predictor, clip, tmp_path):
    found = replace(predict_video(predictor, clip), reason=r"$\nothing$ of '$x.mp4'")
    found.plot().savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def moving(path, faces, seconds, size=320):
    """Write a video of a moving face at ten frames per second."""
    import av
    from PIL import Image

    face = np.asarray(Image.fromarray(faces[0]).resize((size // 2, size // 2)))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(10 * seconds):
            frame = np.full((size, size, 3), 100, np.uint8)
            left = number % (size // 2)
            frame[:, left : left + size // 2][: size // 2] = face
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def test_overlay_is_h264_of_equal_length_with_boxes(predictor, clip, tmp_path):
    import av

    from auxface.data.video.frames import stream_frames
    from auxface.inference.drawing import write_overlay_video

    found = predict_video(predictor, clip, frames_per_second=0)
    write_overlay_video(clip, tmp_path / "out.mp4", tracks=found.tracks, faces=found.faces, seconds=found.seconds)
    with av.open(str(tmp_path / "out.mp4")) as video:
        stream = video.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == pytest.approx(10, rel=0.06)
    overlaid, original = (dict(stream_frames(path)) for path in (tmp_path / "out.mp4", clip))
    assert len(overlaid) == len(original) == 20
    # The frame is enlarged to fit labels. The box runs along the border, and a label covers part of the face.
    large = original[5].repeat(4, axis=0).repeat(4, axis=1)
    assert overlaid[5].shape == large.shape
    changed = np.abs(overlaid[5].astype(int) - large).max(axis=2) > 60
    assert changed[0].mean() > 0.5
    assert changed.mean() < 0.9
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
def test_longer_video_needs_no_more_memory(model_folder, faces, tmp_path):
    program = """if True:
        import sys
        from pathlib import Path
        from auxface.inference.predictor import Predictor
        from auxface.inference.drawing import write_overlay_video
        from auxface.inference.predict_video import predict_video
        predictor = Predictor.from_pretrained(sys.argv[1], device="cpu")
        for path in map(Path, sys.argv[2:]):
            found = predict_video(predictor, path, frames_per_second=2)
            parts = {"tracks": found.tracks, "faces": found.faces, "seconds": found.seconds}
            write_overlay_video(path, path.with_suffix(".out.mp4"), **parts)
            lines = Path("/proc/self/status").read_text().splitlines()
            print(found.frames, next(line for line in lines if line.startswith("VmHWM")).split()[1])
    """
    paths = [str(moving(tmp_path / f"{seconds}.mp4", faces, seconds)) for seconds in (15, 60)]
    command = [sys.executable, "-c", program, str(model_folder), *paths]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=300)
    (short, before), (long, after) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert (short, long) == (150, 600)
    # The additional frames would take 138 MB. Encoder and allocator take up to 40 MB once.
    assert (after - before) * 1024 < 50e6
