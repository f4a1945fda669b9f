"""Memory for reading the frames of a video does not grow with its length."""

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

FRAMES, TIMES, SIZE = 60, 10, (320, 240)
MIB = 2**20
# All frames of the long clip together, as arrays: what a reader that keeps them would need.
ALL_FRAMES = FRAMES * TIMES * SIZE[0] * SIZE[1] * 3 / MIB

_CHILD = """
import json, sys
from pathlib import Path
from auxface.data.video.frames import FrameSettings
from auxface.data.video.frames import stream_frames
from auxface.data.prepare.frame_extraction import extract_frames

path, what = Path(sys.argv[1]), sys.argv[2]
if what == "stream":
    count = sum(1 for _ in stream_frames(path))
elif what == "keep":
    count = len(list(stream_frames(path)))
else:
    settings = FrameSettings(what, count=8, length=4, stride=2)
    count = sum(1 for _ in extract_frames(path, None, settings, None))
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([count, peak / 1024]))
"""


def write(path: Path, frames: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIZE[1] // 8, SIZE[0] // 8 + 64, 3), np.uint8)
    ground = np.kron(noise, np.ones((8, 8, 1), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "30"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(frames):
            at = number % 60
            view = np.ascontiguousarray(ground[:, at : at + SIZE[0]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view, format="rgb24")))
        container.mux(stream.encode())


def peak_of(path: Path, what: str) -> tuple[int, float]:
    """Return the number of frames or clips, and the peak memory of the process in MiB."""
    done = subprocess.run([sys.executable, "-c", _CHILD, str(path), what], capture_output=True, text=True, check=True)
    count, peak = json.loads(done.stdout)
    return count, peak


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> tuple[Path, Path]:
    if not Path("/proc/self/status").is_file():
        pytest.skip("peak memory is read from /proc, which this system lacks")
    folder = tmp_path_factory.mktemp("clips")
    write(folder / "short.mp4", FRAMES)
    write(folder / "long.mp4", FRAMES * TIMES)
    return folder / "short.mp4", folder / "long.mp4"


@pytest.mark.parametrize(
    ("what", "short_count", "long_count"),
    [("stream", FRAMES, FRAMES * TIMES), ("uniform", 8, 8), ("first", 8, 8), ("clips", 8, 8)],
)
def test_ten_times_the_length_needs_no_more_memory(clips, what, short_count, long_count):
    counts, peaks = zip(*(peak_of(clip, what) for clip in clips), strict=True)
    assert counts == (short_count, long_count)
    assert peaks[1] - peaks[0] < ALL_FRAMES / 10


def test_the_measurement_detects_kept_frames(clips):
    peaks = [peak_of(clip, "keep")[1] for clip in clips]
    assert peaks[1] - peaks[0] > ALL_FRAMES / 2
