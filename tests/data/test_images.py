"""Decoding: every kind of file a camera or an annotation tool writes, and what is refused."""

from __future__ import annotations

import io
import struct
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from benchmark.data.images import (
    FileSource,
    MaskValuesError,
    check_mask,
    decode,
    decode_mask,
    in_parallel,
)
from benchmark.errors import DataError

Array = npt.NDArray[Any]
RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)


def encoded(image: Image.Image | Array, format: str = "PNG", **options: Any) -> bytes:
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def tiff(array: Array, **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, array, **options)
    return out.getvalue()


def png16(array: Array) -> bytes:
    """A PNG of 16-bit RGB, which Pillow can read but not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width, _ = array.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP", "PPM"])
def test_rgb_is_lossless(format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    pixels = decode(encoded(COLOUR, format, **options), "x")
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous and pixels.flags.writeable
    np.testing.assert_array_equal(pixels, COLOUR)


def test_grey_becomes_three_equal_channels() -> None:
    np.testing.assert_array_equal(decode(encoded(GREY), "x"), np.stack([GREY] * 3, axis=2))


def test_one_bit_is_black_and_white() -> None:
    pixels = decode(encoded(Image.fromarray(GREY > 99)), "x")
    np.testing.assert_array_equal(pixels[..., 0], (GREY > 99) * 255)


def test_palette_gives_the_colours_it_shows() -> None:
    image = Image.fromarray(COLOUR).quantize(256)
    np.testing.assert_array_equal(decode(encoded(image), "x"), np.asarray(image.convert("RGB")))


def test_palette_with_transparency_drops_it() -> None:
    image = Image.fromarray(COLOUR).quantize(256)
    pixels = decode(encoded(image, transparency=b"\0\x80\xff"), "x")
    np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("alpha", [0, 77, 255])
def test_alpha_is_dropped_and_hidden_colour_counts(alpha: int) -> None:
    image = np.dstack([COLOUR, np.full((5, 7), alpha, dtype=np.uint8)])
    np.testing.assert_array_equal(decode(encoded(image), "x"), COLOUR)


def test_cmyk_jpeg_looks_like_rgb() -> None:
    flat = np.full((16, 16, 3), (200, 100, 50), dtype=np.uint8)
    pixels = decode(encoded(Image.fromarray(flat).convert("CMYK"), "JPEG", quality=100), "x")
    assert abs(pixels.astype(int) - flat).max() <= 6


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_is_scaled_by_257_and_rounded(format: str) -> None:
    # 128 rounds down and 129 up: 128.5 levels of 16 bits are half a level of 8 bits
    values = np.array([[0, 128, 129, 257, 257 * 77 + 128, 65406, 65407, 65535]], dtype=np.uint16)
    expected = np.rint(values.astype(np.float64) / 257)
    assert expected.tolist() == [[0, 0, 1, 1, 77, 254, 255, 255]]
    pixels = decode(encoded(Image.fromarray(values), format), "x")
    np.testing.assert_array_equal(pixels, np.stack([expected] * 3, axis=2))


def test_sixteen_bit_colour_is_within_one_level() -> None:
    values: Array = RNG.integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    for data in (png16(values), tiff(values, photometric="rgb")):
        pixels = decode(data, "x")
        assert abs(pixels - values / 257.0).max() <= 1


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floating_point_between_0_and_1(
    shape: tuple[int, ...], kind: type[np.floating[Any]]
) -> None:
    values: Array = RNG.random(shape).astype(kind)
    values.flat[:2] = 0, 1
    photometric = "rgb" if len(shape) == 3 else "minisblack"
    pixels = decode(tiff(values, photometric=photometric), "x")
    expected = np.rint(values * 255)
    if len(shape) == 2:
        expected = np.stack([expected] * 3, axis=2)
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("bad", [1.5, -0.1, np.nan, np.inf])
def test_floating_point_beyond_0_and_1_is_refused(bad: float) -> None:
    values = np.full((5, 7), 0.5, dtype=np.float32)
    values[2, 2] = bad
    with pytest.raises(DataError, match=r"photo\.tif.*0\.\.1"):
        decode(tiff(values), "photo.tif")


def test_wide_integers_are_refused() -> None:
    with pytest.raises(DataError, match=r"photo\.tif.*8 or 16 bits"):
        decode(tiff(np.ones((5, 7), dtype=np.uint32)), "photo.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_to_images_and_masks(orientation: int) -> None:
    upright = np.zeros((4, 6), dtype=np.uint8)
    upright[0, :3] = 255
    # how the camera stored it, per the EXIF standard: what undoes each orientation
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    data = encoded(np.ascontiguousarray(stored), exif=exif)
    np.testing.assert_array_equal(decode(data, "x")[..., 0], upright)
    np.testing.assert_array_equal(decode_mask(data, "x"), upright > 0)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP"])
def test_truncated_files_are_refused(format: str, kept: float) -> None:
    noise = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(noise, format)
    with pytest.raises(DataError, match=r"^photo: truncated or damaged.*remove it"):
        decode(data[: int(len(data) * kept)], "photo")


def test_damaged_content_is_refused() -> None:
    data = bytearray(encoded(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    data[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
    with pytest.raises(DataError, match="photo"):
        decode(bytes(data), "photo")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty file"),
        (b"hello there", "not an image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"II*\0nonsense", "TIFF"),
    ],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_what_is_no_image_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(DataError, match=f"^photo: .*{said}"):
        decode(data, "photo")


# ---------------------------------------------------------------------------------------- masks

MASK = np.zeros((5, 7), dtype=np.uint8)
MASK[1:3, 2:5] = 1


@pytest.mark.parametrize(
    "data",
    [
        encoded(MASK * 255),
        encoded(MASK),
        encoded(Image.fromarray(MASK > 0)),
        encoded(np.stack([MASK * 255] * 3, axis=2)),
        encoded(np.dstack([MASK * 255] * 3 + [np.full_like(MASK, 255)])),
        encoded(Image.fromarray(MASK * 255).quantize(2)),
        encoded(Image.fromarray(MASK.astype(np.uint16) * 65535)),
        encoded(MASK * 255, "BMP"),
        tiff(MASK.astype(np.float32)),
    ],
    ids=["0-255", "0-1", "1-bit", "rgb", "rgba", "palette", "16-bit", "bmp", "float"],
)
def test_masks_of_every_kind(data: bytes) -> None:
    mask = decode_mask(data, "m")
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, MASK > 0)


@pytest.mark.parametrize("value", [0, 255])
def test_masks_of_one_value(value: int) -> None:
    assert (decode_mask(encoded(np.full((5, 7), value, dtype=np.uint8)), "m") == (value > 0)).all()


@pytest.mark.parametrize("values", [(0, 128), (0, 254), (1, 255), (0, 1, 255), (0, 2)])
def test_grey_values_are_refused_and_listed(values: tuple[int, ...]) -> None:
    mask = np.resize(np.array(values, dtype=np.uint8), (5, 7))
    shown = ", ".join(map(str, values))
    with pytest.raises(MaskValuesError, match=rf"^m\.png: .*{len(values)} values \({shown}\)"):
        decode_mask(encoded(mask), "m.png")


def test_many_grey_values_are_counted() -> None:
    ramp = np.arange(35, dtype=np.uint8).reshape(5, 7)
    with pytest.raises(MaskValuesError, match=r"35 values \(0, 1, 2, 3, 4, 5, …\).*threshold"):
        decode_mask(encoded(ramp), "m.png")


def test_a_jpeg_mask_is_refused() -> None:
    mask = np.kron(MASK, np.ones((7, 9), dtype=np.uint8)) * 255
    with pytest.raises(MaskValuesError, match="JPEG"):
        decode_mask(encoded(mask, "JPEG"), "m.jpg")


def test_coloured_and_transparent_masks_are_refused() -> None:
    with pytest.raises(MaskValuesError, match="coloured"):
        decode_mask(encoded(COLOUR), "m.png")
    # the defect is only in the alpha channel: colours alone would say that there is none
    hidden = np.dstack([MASK * 0] * 3 + [MASK * 255])
    with pytest.raises(MaskValuesError, match="transparent"):
        decode_mask(encoded(hidden), "m.png")


def test_check_mask() -> None:
    check_mask((6, 8, 3), (6, 8), "m.png")
    with pytest.raises(DataError, match=r"^m\.png: .*16×12 pixels, its image 8×6.*nearest"):
        check_mask((6, 8, 3), (12, 16), "m.png")
    with pytest.raises(DataError, match="EXIF"):
        check_mask((6, 8, 3), (8, 6), "m.png")


# ---------------------------------------------------------------------------------------- files


def test_file_source(tmp_path: Path) -> None:
    path = tmp_path / "ünï code.png"
    path.write_bytes(encoded(COLOUR))
    source = FileSource(path)
    assert source.name() == str(path)
    assert source.content() == path.read_bytes()
    np.testing.assert_array_equal(source.pixels(), COLOUR)


def test_file_source_says_why_it_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    for name, said in [
        ("gone.png", "no such file"),
        ("folder.png", "cannot be read"),
        ("link.png", "link to a file that is gone"),
    ]:
        with pytest.raises(DataError, match=f"{name}: .*{said}"):
            FileSource(tmp_path / name).pixels()


# ------------------------------------------------------------------------------------- parallel


def test_in_parallel_keeps_the_order() -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number * number

    assert list(in_parallel(slow_first, range(50), workers=4)) == [n * n for n in range(50)]


def test_in_parallel_is_bounded() -> None:
    started: list[int] = []
    results = in_parallel(started.append, range(1000), workers=2)
    next(results)
    time.sleep(0.05)
    assert len(started) <= 5  # two per worker, and the one that was handed out
    results.close()  # type: ignore[attr-defined]


def test_in_parallel_raises_at_the_items_turn() -> None:
    def fail_at_three(number: int) -> int:
        if number == 3:
            raise DataError("three")
        return number

    got: list[int] = []
    with pytest.raises(DataError, match="three"):
        got.extend(in_parallel(fail_at_three, range(100), workers=2))
    assert got == [0, 1, 2]


def test_in_parallel_uses_threads() -> None:
    both = threading.Barrier(2, timeout=5)  # passes only if two calls run at the same time
    assert sum(1 for _ in in_parallel(lambda _: both.wait(), range(2), workers=2)) == 2
