"""Face detection, choice, cropping and tracking, against geometry that can be worked out by hand."""

import hashlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auxface.data.faces import Face, FaceCropper, FaceSettings, make_detector
from auxface.data.faces.alignment import STANDARD_POINTS, box_iou, choose_faces, crop_transform, similarity, warp
from auxface.data.faces.cropper import track_face
from auxface.data.faces.detection import SHA256, yunet_weights
from auxface.data.images.decode import read_image
from auxface.errors import InputError


@pytest.fixture
def weights(shared_data):
    path = shared_data.parent / "weights" / "yunet_n_640_640.onnx"
    if not path.is_file():
        pytest.skip("YuNet's weights (../shared/weights) are absent")
    return path


@pytest.fixture
def portraits(shared_data):
    return [read_image(path) for path in sorted((shared_data / "attributes_celeba" / "images").glob("*.jpg"))[:40]]


def face(left, top, width, height, landmarks=None):
    return Face((left, top, width, height), landmarks, 1.0)


def test_the_pinned_hash_is_that_of_the_weights(weights):
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == SHA256


@pytest.mark.parametrize("scale", [1, 4, 12])
def test_yunet_detects_a_face_at_any_scale(weights, portraits, scale):
    detect = make_detector("yunet", weights)
    found = 0
    for image in portraits:
        large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        faces = detect(large)
        found += bool(faces)
        if faces:
            x, y = np.array(faces[0].box[:2]) + np.array(faces[0].box[2:]) / 2
            # CelebA's aligned images have the face in the center.
            assert abs(x / large.shape[1] - 0.5) < 0.2
            assert abs(y / large.shape[0] - 0.55) < 0.2
            assert faces[0].landmarks[0, 0] < faces[0].landmarks[1, 0]
    assert found >= 38


def test_haar_detects_without_weights(portraits):
    detect = make_detector("haar")
    large = [cv2.resize(image, None, fx=3, fy=3) for image in portraits]
    assert sum(bool(detect(image)) for image in large) >= 25
    assert make_detector("haar")(np.zeros((100, 100, 3), np.uint8)) == []


def test_missing_or_wrong_weights_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no such file"):
        yunet_weights(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"not a network")
    with pytest.raises(InputError, match="cannot read it as YuNet"):
        make_detector("yunet", tmp_path / "bad.onnx")
    monkeypatch.setenv("AUXFACE_CACHE", str(tmp_path))
    monkeypatch.delenv("AUXFACE_YUNET", raising=False)
    # A local file replaces the download.
    monkeypatch.setattr("auxface.data.faces.detection.URL", (tmp_path / "bad.onnx").as_uri())
    with pytest.raises(InputError, match="hash differs"):
        yunet_weights()
    monkeypatch.setattr("auxface.data.faces.detection.URL", (tmp_path / "gone.onnx").as_uri())
    with pytest.raises(InputError, match="haar"):
        yunet_weights()
    assert not list(tmp_path.rglob("yunet-*"))


def test_a_download_is_cached_and_a_broken_one_repeated(tmp_path, monkeypatch, weights):
    monkeypatch.setenv("AUXFACE_CACHE", str(tmp_path))
    monkeypatch.delenv("AUXFACE_YUNET", raising=False)
    monkeypatch.setattr("auxface.data.faces.detection.URL", weights.as_uri())
    kept = yunet_weights()
    assert kept.read_bytes() == weights.read_bytes()
    kept.write_bytes(b"spoiled")
    assert yunet_weights().read_bytes() == weights.read_bytes()


def test_each_which_setting_chooses_its_face():
    faces = [face(0, 0, 50, 60), face(100, 80, 30, 30), face(170, 0, 20, 20)]
    shape = (200, 200)
    mask = np.zeros((100, 100), bool)
    mask[0:10, 85:95] = True
    assert choose_faces(faces, "largest", shape) == [faces[0]]
    assert choose_faces(faces, "central", shape) == [faces[1]]
    assert choose_faces(faces, "mask", shape, mask) == [faces[2]]
    assert choose_faces(faces, "mask", shape, np.zeros((100, 100), bool)) == [faces[0]]
    assert choose_faces(faces, "mask", shape) == [faces[0]]
    assert len(choose_faces(faces, "all", shape)) == 3
    assert choose_faces([], "all", shape) == []


def test_box_iou_is_intersection_over_union():
    assert box_iou((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert box_iou((0, 0, 10, 10), (10, 0, 10, 10)) == 0


@given(st.floats(-3, 3), st.floats(0.1, 10), st.floats(-100, 100), st.floats(-100, 100), st.integers(0, 2**32 - 1))
def test_similarity_recovers_rotation_scale_and_translation(angle, scale, x, y, seed):
    points = np.random.default_rng(seed).uniform(-50, 50, (5, 2))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = similarity(points, points @ turn.T + (x, y))
    assert np.allclose(found, np.hstack([turn, [[x], [y]]]), atol=1e-6)


def test_similarity_never_reflects():
    mirrored = STANDARD_POINTS * (-1, 1)
    found = similarity(mirrored, STANDARD_POINTS)
    assert np.linalg.det(found[:, :2]) > 0


def test_alignment_maps_landmarks_to_the_standard_points():
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = ((STANDARD_POINTS - 56) * 2.5) @ turn.T + (300, 200)
    chosen = FaceSettings("align", size=112, margin=0.0)
    matrix = crop_transform(face(200, 100, 200, 200, landmarks.astype(np.float32)), chosen, (480, 640))
    assert np.allclose(landmarks @ matrix[:, :2].T + matrix[:, 2], STANDARD_POINTS, atol=1e-3)
    wide = crop_transform(
        face(200, 100, 200, 200, landmarks.astype(np.float32)), FaceSettings("align", size=112, margin=1.0), (1, 1)
    )
    eyes = (landmarks @ wide[:, :2].T + wide[:, 2])[:2]
    assert eyes[1, 0] - eyes[0, 0] == pytest.approx((STANDARD_POINTS[1, 0] - STANDARD_POINTS[0, 0]) / 2, abs=1e-3)


@given(
    st.integers(30, 200),
    st.integers(30, 200),
    st.floats(-20, 180),
    st.floats(-20, 180),
    st.floats(21, 150),
    st.floats(0, 2),
)
@settings(max_examples=60, deadline=None)
def test_an_upright_crop_stays_inside_the_image(height, width, left, top, side, margin):
    matrix = crop_transform(face(left, top, side, side), FaceSettings(size=64, margin=margin), (height, width))
    scale = matrix[0, 0]
    start = -matrix[:, 2] / scale
    assert (start >= -1e-6).all()
    assert start[0] + 64 / scale <= width + 1e-6
    assert start[1] + 64 / scale <= height + 1e-6


def test_a_crop_at_scale_one_copies_pixels():
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    matrix = np.array([[1.0, 0, -30], [0, 1.0, -20]])
    assert np.array_equal(warp(image, matrix, 50), image[20:70, 30:80])
    whole = warp(image[:90, :90], np.array([[1.0, 0, 0], [0, 1.0, 0]]), 90)
    assert np.array_equal(whole, image[:90, :90])


def test_a_smaller_crop_is_antialiased():
    checks = np.repeat((np.indices((400, 400)).sum(0) % 2 * 255)[:, :, None], 3, 2).astype(np.uint8)
    small = warp(checks, np.array([[0.1, 0, 0], [0, 0.1, 0]]), 40)
    assert np.abs(small.astype(int) - 127).max() < 12


def test_a_track_keeps_one_person_and_fills_gaps_smoothly():
    random = np.random.default_rng(0)
    frames = []
    for at in range(16):
        walker = face(20 + 2 * at + random.normal(0, 1.5), 30, 40, 40)
        other = face(150, 30, 44, 44)
        frames.append([other] if at in (5, 6) else [other, walker] if at else [walker])
    track = track_face(frames, "largest", (100, 220), [None] * 16)
    assert track is not None
    middles = np.array([one.box[0] + one.box[2] / 2 for one in track])
    assert np.abs(middles - (40 + 2 * np.arange(16))).max() < 4
    raw = np.array([faces[-1].box[0] + 20 for at, faces in enumerate(frames) if at not in (5, 6)])
    assert np.abs(np.diff(middles, 2)).max() < np.abs(np.diff(raw, 2)).max() / 2
    assert track_face([[], []], "largest", (10, 10), [None, None]) is None


def test_a_clip_of_a_moving_portrait_is_cropped_steadily(weights, portraits):
    frames = []
    for at in range(8):
        canvas = np.zeros((300, 400, 3), np.uint8)
        large = cv2.resize(portraits[0], (178, 218))
        canvas[40:258, 20 + 8 * at : 198 + 8 * at] = large
        frames.append(canvas)
    clip = FaceCropper(FaceSettings(size=64, margin=0.0), weights).crop_clip(frames)
    assert clip is not None
    assert len(clip) == 8
    inner = [frame.astype(int) for frame in clip[2:-2]]
    assert max(np.abs(frame - inner[0]).mean() for frame in inner) < 12
    assert FaceCropper(FaceSettings(), weights).crop_clip([np.zeros((50, 50, 3), np.uint8)] * 2) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cut": "square"}, "cut 'square' must be crop or align"),
        ({"which": "left"}, "largest or central or mask or all"),
        ({"size": 4}, "size is 4"),
        ({"margin": -1}, "margin is -1"),
        ({"cut": "align", "detector": "haar"}, "needs landmarks"),
    ],
)
def test_invalid_settings_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        FaceSettings(**options)


def test_settings_survive_json():
    chosen = FaceSettings("align", "yunet", "mask", 112, 0.1, 30)
    assert FaceSettings.from_json(chosen.to_json() | {"clip": {"length": 4}}) == chosen
