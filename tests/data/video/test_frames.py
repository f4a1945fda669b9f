"""Frames of videos: the right ones, for any frame rate, codec and corruption."""

import wave
from fractions import Fraction

import av
import layout_trees
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auxface.data.prepare.frame_extraction import extract_frames
from auxface.data.video import frames as video
from auxface.data.video.decoding import UnreadableVideo
from auxface.data.video.frames import (
    FrameSettings,
    clip_frames,
    index_video,
    read_frames,
    stream_frames,
    uniform_frames,
)
from auxface.errors import InputError

BITS = 10


def write(path, frames, *, codec="libx264", gap=lambda number: 33, size=(160, 48), options=None):
    """A video whose frames carry their number in black and white bars."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.options = options or {"g": "24"}
        time = 0
        for number in range(frames):
            bars = np.repeat([255 * (number >> bit & 1) for bit in range(BITS)], size[0] // BITS).astype(np.uint8)
            image = np.broadcast_to(bars[None, :, None], (size[1], size[0], 3))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            time += gap(number)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def number_in(image):
    width = image.shape[1] // BITS
    return sum(int(image[:, bit * width + 3 : (bit + 1) * width - 3].mean() > 127) << bit for bit in range(BITS))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize("variable", [False, True])
def test_exactly_the_chosen_frames_are_read(tmp_path, suffix, variable):
    if suffix == ".avi" and variable:
        pytest.skip("AVI has one frame rate")
    gap = (lambda number: 10 + number * 37 % 90) if variable else (lambda number: 33)
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    path = write(tmp_path / f"v{suffix}", 120, codec=codec, gap=gap)
    index = index_video(path)
    assert len(index) == 120
    for numbers in ([0], [119], uniform_frames(120, 16), [3, 4, 5, 23, 24, 25, 100], list(range(120))):
        got = list(read_frames(path, index, numbers))
        assert [number for number, _ in got] == numbers
        assert [number_in(image) for _, image in got] == numbers
    assert [number_in(image) for _, image in stream_frames(path)] == list(range(120))


def test_a_truncated_video_gives_its_remaining_frames(tmp_path):
    whole = write(tmp_path / "v.mkv", 120).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    index = index_video(tmp_path / "cut.mkv")
    assert 20 < len(index) < 110
    got = list(read_frames(tmp_path / "cut.mkv", index, uniform_frames(len(index), 6)))
    assert len(got) >= 5
    assert all(number == number_in(image) for number, image in got)
    # With the index of the complete file, missing frames are skipped one by one.
    good = index_video(tmp_path / "v.mkv")
    assert len(list(read_frames(tmp_path / "cut.mkv", good, [0, 10, 118]))) == 2


def test_frames_that_cannot_be_decoded_are_counted(tmp_path):
    data = bytearray(write(tmp_path / "v.mp4", 120, options={"g": "120", "bf": "0"}).read_bytes())
    start = data.index(b"mdat")
    middle = start + (len(data) - start) // 3
    data[middle : middle + 2000] = b"\xff" * 2000
    (tmp_path / "v.mp4").write_bytes(data)
    extracted = list(extract_frames(tmp_path / "v.mp4", None, FrameSettings(count=12), None))
    assert sorted(one.number for one in extracted) == uniform_frames(120, 12)
    assert {one.status for one in extracted} <= {"usable", "unreadable"}
    assert all((one.image is None) == (one.status == "unreadable") for one in extracted)


@pytest.mark.parametrize("content", [b"", b"hello" * 1000, b"#EXTM3U\nfile:///etc/hostname\n", b"\x1aE\xdf\xa3"])
def test_other_files_are_refused_as_videos(tmp_path, content):
    (tmp_path / "v.mp4").write_bytes(content)
    with pytest.raises(UnreadableVideo, match=r"empty file|not a video|no video stream|without frames"):
        index_video(tmp_path / "v.mp4")


def test_too_many_or_too_large_frames_are_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "v.mp4", 12)
    monkeypatch.setattr(video, "MAX_FRAMES", 11)
    with pytest.raises(UnreadableVideo, match="more than 11 frames"):
        index_video(path)
    monkeypatch.setattr(video, "MAX_FRAME_PIXELS", 160 * 48 - 1)
    with pytest.raises(UnreadableVideo, match="frames of 160x48 pixels"):
        index_video(path)


def test_a_playlist_opens_no_other_file(tmp_path):
    write(tmp_path / "real.mp4", 5)
    (tmp_path / "v.mp4").write_text(f"ffconcat version 1.0\nfile {tmp_path / 'real.mp4'}\n")
    with pytest.raises(UnreadableVideo):
        index_video(tmp_path / "v.mp4")


def test_a_file_with_sound_only_is_refused(tmp_path):
    with wave.open(str(tmp_path / "v.mp4"), "wb") as sound:
        sound.setparams((1, 2, 44100, 0, "NONE", ""))
        sound.writeframes(bytes(44100))
    with pytest.raises(UnreadableVideo, match="no video stream"):
        index_video(tmp_path / "v.mp4")


def test_an_unknown_codec_is_refused(tmp_path):
    data = layout_trees.video_bytes()
    (tmp_path / "v.mp4").write_bytes(data.replace(b"mp4v", b"zzzz").replace(b"esds", b"free"))
    with pytest.raises(UnreadableVideo, match="cannot be decoded"):
        index_video(tmp_path / "v.mp4")


def test_clips_and_first_frames_have_the_right_numbers(tmp_path):
    path = write(tmp_path / "v.mp4", 60)
    clips = list(extract_frames(path, None, FrameSettings("clips", count=3, length=4, stride=5), None))
    assert [one.number for one in clips] == [7, 22, 37]
    for one in clips:
        assert one.image is not None
        assert [number_in(frame) for frame in np.split(one.image, 4)] == [one.number + 5 * at for at in range(4)]
    first = list(extract_frames(path, None, FrameSettings("first", count=3), None))
    assert [one.number for one in first] == [0, 1, 2]
    with pytest.raises(UnreadableVideo, match="60 frames, but a clip needs 76"):
        list(extract_frames(path, None, FrameSettings("clips", length=16, stride=5), None))


@given(st.integers(1, 5000), st.integers(1, 64))
def test_uniform_frames_are_evenly_spread(total, count):
    chosen = uniform_frames(total, count)
    assert len(chosen) == min(total, count)
    assert len(set(chosen)) == len(chosen)
    assert chosen[0] >= 0
    assert chosen[-1] < total
    if total > count:
        gaps = np.diff(chosen)
        assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1
        # The distances to the start and to the end are equal.
        assert abs(chosen[0] - (total - 1 - chosen[-1])) <= 1


@given(st.integers(1, 2000), st.integers(1, 8), st.integers(1, 32), st.integers(1, 8))
def test_clips_are_inside_the_video_and_different(total, clips, length, stride):
    chosen = clip_frames(total, clips, length, stride)
    assert (len(chosen) == 0) == (total < (length - 1) * stride + 1)
    assert len({clip[0] for clip in chosen}) == len(chosen) <= clips
    for clip in chosen:
        assert len(clip) == length
        assert clip[0] >= 0
        assert clip[-1] < total
        assert set(np.diff(clip)) <= {stride}


def test_settings_out_of_range_are_refused():
    with pytest.raises(InputError, match="count 0"):
        FrameSettings(count=0)
    with pytest.raises(InputError, match="'every' must be one of uniform, first, clips"):
        FrameSettings("every")  # type: ignore[arg-type]
