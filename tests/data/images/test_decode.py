"""Every kind of image file: decoded as a viewer displays it, or refused with a reason."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from auxface.data.images.decode import UnreadableImage, fit_square, read_image, shorter_side


def encoded(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture
def colors():
    """Four flat quarters, which survive every codec nearly unchanged."""
    image = np.zeros((32, 48, 3), np.uint8)
    image[:16, :24], image[:16, 24:] = (200, 40, 40), (40, 200, 40)
    image[16:, :24], image[16:, 24:] = (40, 40, 200), (220, 220, 220)
    return image


@pytest.mark.parametrize(
    ("form", "options", "tolerance"),
    [
        ("PNG", {}, 0), ("BMP", {}, 0), ("TIFF", {}, 0), ("PPM", {}, 0), ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 95, "subsampling": 0}, 4), ("JPEG", {"progressive": True, "subsampling": 0}, 8),
    ],
)  # fmt: skip
def test_every_format_is_decoded(colors, form, options, tolerance):
    decoded = read_image(encoded(Image.fromarray(colors), form, **options))
    assert decoded.dtype == np.uint8
    assert decoded.shape == (32, 48, 3)
    assert np.abs(decoded.astype(int) - colors).max() <= tolerance


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_gray_and_palette_become_rgb(colors, mode):
    image = Image.fromarray(colors).convert(mode)
    assert np.array_equal(read_image(encoded(image, "PNG")), np.asarray(image.convert("RGB")))


def test_sixteen_bits_are_scaled_and_not_clipped():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    for form in ("PNG", "TIFF"):
        decoded = read_image(encoded(Image.fromarray(ramp), form))
        assert np.abs(decoded[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_adobe_cmyk_is_converted_to_rgb(colors):
    cmyk = Image.fromarray(colors).convert("CMYK")
    decoded = read_image(encoded(cmyk, "JPEG", quality=100, subsampling=0))
    assert np.abs(decoded.astype(int) - colors).max() < 12


def test_transparent_pixels_are_composed_over_white():
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:, :2] = (10, 20, 30, 255)
    pixels[:, 2:] = (99, 99, 99, 0)
    decoded = read_image(encoded(Image.fromarray(pixels), "PNG"))
    assert decoded[0, 0].tolist() == [10, 20, 30]
    assert decoded[0, 3].tolist() == [255, 255, 255]
    palette = Image.fromarray(pixels[:, :, 0]).convert("P")
    decoded = read_image(encoded(palette, "PNG", transparency=palette.getpixel((3, 0))))
    assert decoded[0, 3].tolist() == [255, 255, 255]


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_exif_orientation_is_applied(colors, turn):
    image = Image.fromarray(colors)
    exif = Image.Exif()
    exif[0x0112] = turn
    data = encoded(image, "PNG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(read_image(data), np.asarray(expected))
    assert read_image(data).shape == ((32, 48, 3) if turn < 5 else (48, 32, 3))


def test_corrupt_exif_is_ignored(colors):
    data = encoded(Image.fromarray(colors), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffnonsense")
    assert read_image(data).shape == (32, 48, 3)


def test_of_an_animation_the_first_frame_is_read(colors):
    first, second = Image.fromarray(colors), Image.fromarray(255 - colors)
    for form in ("GIF", "WEBP", "PNG"):
        data = encoded(
            first, form, save_all=True, append_images=[second], **({"lossless": True} if form == "WEBP" else {})
        )
        assert np.abs(read_image(data).astype(int) - colors).max() <= 8


def png_of(width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello", "not an image"),
        (b"%PDF-1.7", "not an image"),
        (png_of(10_001, 10_000), "10001x10000 pixels; at most 100 megapixels"),
        (png_of(2**31 - 1, 2**31 - 1), "megapixels"),
        (png_of(64, 64), "truncated"),
        # Headers that promise more than any memory holds.
        (b"GIF89a" + struct.pack("<HHBBBB4H12x", 65535, 65535, 0, 0, 0, 44, 0, 0, 65535, 65535), "megapixels"),
        (b"BM" + struct.pack("<IHHIIiiHHI20x", 90, 0, 0, 54, 40, 50_000, 50_000, 1, 24, 0), "megapixels"),
        (b"P6 40000 40000 255 " + bytes(64), "megapixels"),
    ],
)
def test_refusals_name_the_reason(data, reason):
    with pytest.raises(UnreadableImage, match=reason):
        read_image(data)


def test_a_truncated_jpeg_is_refused(colors):
    data = encoded(Image.fromarray(colors).resize((480, 320)), "JPEG")
    with pytest.raises(UnreadableImage, match="truncated"):
        read_image(data[: len(data) // 2])


def test_floating_point_and_32_bit_images_are_refused():
    with pytest.raises(UnreadableImage, match="floating-point"):
        read_image(encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"))
    with pytest.raises(UnreadableImage, match="32 bits"):
        read_image(encoded(Image.fromarray(np.full((4, 4), 10**6, np.int32)), "TIFF"))


def test_large_files_and_special_files_are_refused(tmp_path, colors):
    with pytest.raises(UnreadableImage, match="no such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(UnreadableImage, match="not a file"):
        read_image(tmp_path)
    with pytest.raises(UnreadableImage, match="invalid name"):
        read_image(tmp_path / "a\0b.png")
    import os

    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UnreadableImage, match="not a file"):
        read_image(tmp_path / "pipe.png")
    assert shorter_side(tmp_path / "pipe.png") is None
    (tmp_path / "big.png").write_bytes(encoded(Image.fromarray(colors), "PNG"))
    with pytest.raises(UnreadableImage, match="at most"):
        read_image(tmp_path / "big.png", max_bytes=50)
    with pytest.raises(UnreadableImage, match="48x32 pixels"):
        read_image(tmp_path / "big.png", max_pixels=48 * 32 - 1)


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([16, 33, 64]))
@settings(max_examples=60, deadline=None)
def test_fit_square_keeps_the_center_and_aspect_ratio(height, width, size):
    image = np.zeros((height, width, 3), np.uint8)
    image[:, :, 0] = np.linspace(0, 255, width).astype(np.uint8)
    image[:, :, 1] = np.linspace(0, 255, height).astype(np.uint8)[:, None]
    square = fit_square(image, size)
    assert square.shape == (size, size, 3)
    side = min(height, width)
    top, left = (height - side) / 2, (width - side) / 2
    middle = image[int(top) : int(np.ceil(top + side)), int(left) : int(np.ceil(left + side))]
    assert np.abs(square.mean((0, 1)) - middle.mean((0, 1))).max() < 12


def test_fit_square_antialiases():
    checks = np.indices((256, 256)).sum(0) % 2 * 255
    square = fit_square(np.repeat(checks[:, :, None], 3, 2).astype(np.uint8), 32)
    assert np.abs(square.astype(int) - 127).max() <= 3


@pytest.mark.parametrize(("height", "width"), [(512, 512), (384, 768), (256, 256)])
def test_a_central_crop_equals_resizing_then_cropping(height, width):
    """SSAT's evaluation: the shorter side is resized to 256, and the central 224 by 224 pixels are kept."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    scale = 256 / min(height, width)
    resized = Image.fromarray(pixels).resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
    left, top = (resized.width - 224) / 2, (resized.height - 224) / 2
    expected = np.asarray(resized.crop((round(left), round(top), round(left) + 224, round(top) + 224)))
    found = fit_square(pixels, 224, 0.875)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert not np.array_equal(found, fit_square(pixels, 224))
