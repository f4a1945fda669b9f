import numpy as np
import pytest

from auxface.inference.predictor import Predictor, TorchScorer
from auxface.inference.tracks import Tracker
from auxface.inference.video import predict_video
from auxface.model.directory import SavedModel


@pytest.fixture(scope="module")
def predictor(saved):
    return Predictor(TorchScorer(saved, "cpu"))


def test_the_verdict_is_the_stored_rule_over_frames(saved, predictor, clip):
    found = predict_video(predictor, clip, looks_per_second=0)
    assert (found.looked_at, found.frames, found.reason) == (20, 20, None)
    assert found.seconds == pytest.approx(1.9)
    scores = found.scores[0]["forged"][:, 0]
    assert found.tasks["forged"].probabilities["forged"] == pytest.approx(scores.mean(), abs=1e-6)
    middle = SavedModel(saved.model, saved.config.model_copy(update={"video_rule": "max"}))
    highest = predict_video(Predictor(TorchScorer(middle, "cpu")), clip, looks_per_second=0)
    assert highest.tasks["forged"].probabilities["forged"] == pytest.approx(scores.max(), abs=1e-6)


def test_looks_are_spread_evenly_and_bounded(predictor, clip):
    assert predict_video(predictor, clip, looks_per_second=5).tracks[0].frames == list(range(0, 20, 2))
    assert predict_video(predictor, clip, looks_per_second=0, max_looks=4).looked_at == 4


def test_frames_are_scored_as_pictures_are(predictor, clip):
    from auxface.data.video import stream_frames

    found = predict_video(predictor, clip, looks_per_second=0)
    frames = dict(stream_frames(clip))
    alone = predictor(frames[7]).faces[0].tasks["mood"].probabilities
    np.testing.assert_allclose(found.scores[0]["mood"][7], list(alone.values()), atol=1e-5)


def test_a_file_that_is_no_video_is_a_reason(predictor, tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"no video at all")
    found = predict_video(predictor, tmp_path / "x.mp4")
    assert (found.reason, found.faces, found.unreadable) == ("not a video", (), True)


def test_two_people_who_cross_keep_their_tracks():
    tracker = Tracker()
    for step in range(10):
        left, right = (float(10 * step), 0.0, 60.0, 60.0), (200.0 - 10 * step, 100.0, 60.0, 60.0)
        boxes = [left, right] if step % 2 else [right, left]
        tracker.add(step, step / 10, boxes, [{}, {}])
    assert len(tracker.tracks) == 2
    for track in tracker.tracks:
        assert len(track.frames) == 10
        assert len({box[1] for box in track.boxes}) == 1


def test_a_face_that_was_away_too_long_is_another_face():
    tracker = Tracker(patience=1.0)
    box = (0.0, 0.0, 50.0, 50.0)
    for seconds in (0.0, 0.9, 3.0):
        tracker.add(int(10 * seconds), seconds, [box], [{}])
    assert [track.seconds for track in tracker.tracks] == [[0.0, 0.9], [3.0]]
    assert tracker.tracks[0].box_at(4, patience=10) == box
    assert tracker.tracks[0].box_at(25, patience=10) is None


def test_plot_table_and_json_agree(predictor, clip):
    found = predict_video(predictor, clip)
    assert len(found.over_time()) == sum(len(track.frames) for track in found.tracks)
    raw = found.to_dict()
    assert raw["video"]["tracks"][0]["scores"]["forged"]["forged"][0] == pytest.approx(
        found.scores[0]["forged"][0, 0], abs=1e-5
    )
    assert len(found.plot().axes) == 3
