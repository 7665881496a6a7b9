"""What a look at a picture tells: mask or photograph, rotation, and how many bits it uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image, ImageFilter

from benchmark.data.images import FileSource
from benchmark.data.looks import ORIENTATION, Header, annotates, header, highest

Array = npt.NDArray[Any]
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (64, 64, 3)).astype(np.uint8)
BLOB = np.zeros((64, 64), np.uint8)
BLOB[20:50, 12:40] = 255


def classes() -> Image.Image:
    image = Image.fromarray(BLOB // 51 + BLOB.T // 128)
    image = image.convert("P")
    return image


PICTURES: dict[str, tuple[Array | Image.Image, str, bool | None]] = {
    "two values": (BLOB, "png", True),
    "0 and 1": (BLOB // 255, "png", True),
    "blurred by JPEG": (BLOB, "jpg", True),
    "empty": (BLOB * 0, "png", True),
    "classes": (classes(), "png", True),
    "red on black": (np.dstack([BLOB, BLOB * 0, BLOB * 0]), "png", True),
    "noise": (NOISE, "jpg", False),
    "grey noise": (NOISE[..., 0], "png", False),
    "a bright photograph": (NOISE // 4 + 190, "png", False),
    "one shade": (BLOB * 0 + 77, "png", False),
    "object on black": (NOISE[..., 0] * (BLOB > 0), "png", None),
    "soft mask": (Image.fromarray(BLOB).filter(ImageFilter.GaussianBlur(6)), "png", None),
}


@pytest.mark.parametrize("name", PICTURES)
def test_masks_are_told_from_photographs(name: str, tmp_path: Path) -> None:
    pixels, suffix, expected = PICTURES[name]
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    path = tmp_path / f"x.{suffix}"
    image.save(path)
    assert annotates(path) is expected


def test_what_cannot_be_read_is_unclear(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"rubbish")
    assert annotates(tmp_path / "x.png") is None and annotates(tmp_path / "gone.png") is None
    assert header(FileSource(tmp_path / "x.png")) is None


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bits_are_seen_in_the_header(suffix: str, tmp_path: Path) -> None:
    wide, narrow = FileSource(tmp_path / f"w.{suffix}"), FileSource(tmp_path / f"n.{suffix}")
    values = NOISE[..., 0].astype(np.uint16) * 16
    Image.fromarray(values).save(wide.path)
    Image.fromarray(NOISE[..., 0]).save(narrow.path)
    found, other = header(wide), header(narrow)
    assert found and found.wide and other and not other.wide
    assert highest(wide) == values.max()


def test_16_bit_colour_counts_by_its_high_byte(tmp_path: Path) -> None:
    source = FileSource(tmp_path / "c.tif")
    tifffile.imwrite(source.path, NOISE.astype(np.uint16) * 16, photometric="rgb")
    found = header(source)
    assert found and found.wide and highest(source) == 4095


def test_the_size_is_the_upright_one(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(NOISE[:30]).save(tmp_path / "x.jpg", exif=exif)
    found = header(FileSource(tmp_path / "x.jpg"))
    assert found and (found.width, found.height, found.orientation) == (30, 64, 6)


def test_a_png_is_turned_by_what_stands_behind_its_pixels_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    plain, turned = tmp_path / "plain.png", tmp_path / "turned.png"
    Image.fromarray(NOISE[:32]).save(plain)
    Image.fromarray(NOISE[:32]).save(turned, exif=exif)
    data = turned.read_bytes()
    at = data.index(b"eXIf") - 4
    end = at + 12 + int.from_bytes(data[at : at + 4], "big")
    last = data.index(b"IEND") - 4
    turned.write_bytes(data[:at] + data[end:last] + data[at:end] + data[last:])
    assert header(FileSource(plain)) == Header(64, 32)
    assert header(FileSource(turned)) == Header(32, 64, 6)
