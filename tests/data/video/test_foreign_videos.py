"""Videos as people have them: containers, display matrices, covers, odd pixels and timestamps."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from auxface.data.video.decoding import UnreadableVideo
from auxface.data.video.frames import index_video, read_frames, stream_frames

CASES = Path(__file__).parents[4] / "shared" / "cases" / "videos"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the case files are not beside the checkout")
COLORS = ("red", "green", "blue", "yellow")


def corners(image: np.ndarray) -> list[str]:
    """Return the colors at the top left, top right, bottom left and bottom right."""
    known = {"red": (200, 40, 40), "green": (40, 180, 40), "blue": (40, 40, 200), "yellow": (220, 200, 40)}
    pixels = image[[3, 3, -4, -4], [3, -4, 3, -4]].astype(int)
    return [min(known, key=lambda name: abs(pixel - known[name]).sum()) for pixel in pixels]


def write(path, count=20, *, codec="libx264", form=None, size=(96, 64), times=None, options=None):
    """Write a video with four colored corners, in the order of COLORS, whose brightness follows the frame number."""
    values = np.array([(200, 40, 40), (40, 180, 40), (40, 40, 200), (220, 200, 40)], np.uint8).reshape(2, 2, 3)
    picture = np.kron(values, np.ones((size[1] // 2, size[0] // 2, 1), np.uint8))
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.bit_rate = 8_000_000
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(count):
            image = picture.copy()
            # A bar that moves four pixels per frame.
            image[size[1] // 2 - 8 : size[1] // 2 + 8, 8 + 4 * number : 12 + 4 * number] = 255
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def bar(image: np.ndarray) -> int:
    """Return the frame number by the position of the white bar."""
    row = image[image.shape[0] // 2].astype(int).min(1)
    return round((row.argmax() - 8) / 4)


@pytest.mark.parametrize(
    ("name", "codec", "form", "options"),
    [
        ("b_frames.avi", "libx264", "avi", {"bf": "3"}),
        ("program.mpg", "mpeg2video", "mpeg", {"bf": "2"}),
        ("elementary.m2v", "mpeg2video", "mpeg2video", {"bf": "2"}),
        ("plain.h264", "libx264", "h264", {"bf": "2"}),
        ("raw_named.mp4", "libx264", "h264", {"bf": "0"}),
        ("transport.MTS", "libx264", "mpegts", {"bf": "2"}),
        ("phone.3gp", "libx264", "3gp", {}),
        ("without_suffix", "libx264", "mp4", {"bf": "2"}),
        ("12:30:05.mp4", "libx264", "mp4", {}),
    ],
)
def test_every_container_gives_every_frame(tmp_path, name, codec, form, options):
    path = write(tmp_path / name, codec=codec, form=form, options=options)
    index = index_video(path)
    assert len(index) == 20
    assert len([number for number, _ in stream_frames(path)]) == 20
    chosen = [0, 1, 7, 18, 19]
    read = list(read_frames(path, index, chosen))
    assert [number for number, _ in read] == chosen
    assert [bar(image) for _, image in read] == chosen
    # The same bytes in memory give the same frames.
    data = path.read_bytes()
    assert [bar(image) for _, image in read_frames(data, index_video(data), chosen)] == chosen


@needs_cases
@pytest.mark.parametrize(
    ("name", "order"),
    [("plain", (0, 1, 2, 3)), ("hflip", (1, 0, 3, 2)), ("vflip", (2, 3, 0, 1)), ("transp", (0, 2, 1, 3))],
)
def test_display_matrices_are_applied(name, order):
    path = CASES / f"{name}.mp4"
    [(_, image)] = read_frames(path, index_video(path), [0])
    assert corners(image) == [COLORS[at] for at in order]
    assert image.shape == ((96, 64, 3) if name == "transp" else (64, 96, 3))


@needs_cases
@pytest.mark.parametrize("name", ["h264_bf.avi", "cover_first.mkv", "mpeg1_es.mpg", "raw264.mp4", "sar.mp4"])
def test_case_videos_give_all_twenty_frames(name):
    index = index_video(CASES / name)
    assert len(index) == 20
    read = list(read_frames(CASES / name, index, range(20)))
    assert [number for number, _ in read] == list(range(20))
    assert {image.shape for _, image in read} == {(96, 108, 3) if name == "sar.mp4" else (64, 96, 3)}


@needs_cases
def test_a_cut_program_stream_gives_its_frames():
    with av.open(str(CASES / "cuttail_mpeg2_50.mpg")) as container:
        expected = sum(1 for _ in container.decode(video=0))
    path = CASES / "cuttail_mpeg2_50.mpg"
    index = index_video(path)
    assert len(list(read_frames(path, index, range(len(index))))) == expected == len(index)


@pytest.mark.parametrize("text", ["ffconcat version 1.0\nfile {}\n", "#EXTM3U\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"])
def test_no_playlist_opens_another_file(tmp_path, text):
    write(tmp_path / "real.mp4", 3)
    for name in ("list.mp4", "list.m3u8", "list.ffconcat"):
        (tmp_path / name).write_text(text.format(tmp_path / "real.mp4"))
        with pytest.raises(UnreadableVideo, match="not a video"):
            index_video(tmp_path / name)


def test_a_long_gap_between_frames_costs_no_memory(tmp_path):
    """A frame 231 days after the others must not allocate an array of that many seconds."""
    path = write(tmp_path / "gap.mkv", 3, times=[0, 1, 20_000_000_000])
    code = (
        "import sys, resource; from pathlib import Path\n"
        "from auxface.data.video.frames import index_video\n"
        "from auxface.inference.predict_video import _frames_at_rate\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "chosen = _frames_at_rate(index_video(Path(sys.argv[1])).seconds, 5.0, 300)\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(len(chosen), (after - before) // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    count, mebibytes = map(int, done.stdout.split())
    assert count == 2
    assert mebibytes < 100


def test_the_number_of_decoded_frames_is_known(tmp_path):
    index = index_video(write(tmp_path / "v.mp4", 60, options={"g": "10", "bf": "0"}))
    assert np.flatnonzero(index.keys).tolist() == list(range(0, 60, 10))
    assert index.count_decoded([0]) == 1
    assert index.count_decoded([59]) == 10
    assert index.count_decoded([3, 4, 25]) == 5 + 6
    avi = index_video(write(tmp_path / "v.avi", 60, codec="mpeg4"))
    assert avi.count_decoded([3, 49]) == 50


def test_a_check_ends_decoding(tmp_path):
    path = write(tmp_path / "v.mp4", 60)
    index = index_video(path)
    calls = 0

    class Stop(Exception):
        pass

    def check():
        nonlocal calls
        calls += 1
        if calls > 10:
            raise Stop

    with pytest.raises(Stop):
        list(read_frames(path, index, range(60), check=check))
    assert calls == 11
