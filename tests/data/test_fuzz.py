"""Two thousand mutated files: each is decoded to a valid image or refused with a reason."""

import io
from functools import cache

import layout_trees
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from auxface.data.images.decode import UnreadableImage, read_image
from auxface.data.prepare.file_processing import FileProcessor, InputFile
from auxface.data.video.frames import FrameSettings
from generated_inputs import try_inputs


@cache
def seeds() -> tuple[bytes, ...]:
    random = np.random.default_rng(0)
    color = Image.fromarray(random.integers(0, 256, (24, 20, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    files = []
    for image, form, options in (
        (color, "JPEG", {"exif": exif}),
        (color, "JPEG", {"progressive": True}),
        (color.convert("CMYK"), "JPEG", {}),
        (color, "PNG", {}),
        (color.convert("P"), "PNG", {"transparency": 3}),
        (Image.fromarray(random.integers(0, 65536, (9, 9), np.uint16)), "PNG", {}),
        (color, "WEBP", {}),
        (color, "BMP", {}),
        (color, "GIF", {"save_all": True, "append_images": [color.convert("L")]}),
        (color, "TIFF", {"compression": "tiff_lzw"}),
        (color, "TIFF", {"compression": "jpeg"}),
        (color, "PPM", {}),
    ):
        buffer = io.BytesIO()
        image.save(buffer, form, **options)
        files.append(buffer.getvalue())
    return tuple(files)


@st.composite
def mutated(draw, originals):
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["flip", "cut", "insert", "repeat", "extreme"]))
        at = draw(st.integers(0, max(0, len(data) - 1)))
        # Headers matter most, so they are mutated most.
        at = at % 64 if draw(st.booleans()) else at
        if kind == "flip":
            data[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 64))]
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=16))
        elif kind == "repeat":
            data[at:at] = data[at : at + draw(st.integers(1, 128))]
        else:
            data[at : at + 4] = draw(
                st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\xff\xff"])
            )
    return bytes(data)


def check_reason(reason):
    assert 0 < len(reason) < 120
    assert "\n" not in reason


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_1900_mutated_images_are_decoded_or_refused():
    def case(data):
        try:
            image = read_image(data, max_pixels=4_000_000)
        except UnreadableImage as refusal:
            check_reason(str(refusal))
            return
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3
        assert image.shape[0] * image.shape[1] <= 4_000_000

    try_inputs(case, mutated(seeds()), 1900)


def test_100_mutated_videos_are_decoded_or_refused(tmp_path):
    path = tmp_path / "video.mp4"
    processor = FileProcessor(frames=FrameSettings(count=4), crops=tmp_path / "crops")

    def case(data):
        path.write_bytes(data)
        result = processor.process(InputFile(str(path), "", "video"))
        assert result.samples
        for sample in result.samples:
            assert (sample.status == "usable") == bool(sample.path)
            assert sample.status == "usable" or sample.reason

    try_inputs(case, mutated((layout_trees.video_bytes(),)), 100)
