"""The one-class sets: where they are found, and that only the official files are taken."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark import Geometry
from benchmark.data.dataset import Array
from benchmark.datasets import cifar10
from benchmark.datasets._digits import FILES, read_idx
from benchmark.datasets._one_class import KEYS, Arrays, sha256
from benchmark.datasets.cifar10 import Cifar10
from benchmark.datasets.fashion_mnist import FashionMnist
from benchmark.datasets.mnist import Mnist
from benchmark.errors import DataError
from benchmark.runner.protocol import Protocol

TRAIN, TEST = 40, 20


def small(shape: tuple[int, ...] = (28, 28)) -> Arrays:
    """Four training and two test images per class, each image with pixels of its own."""
    rng = np.random.default_rng(0)
    return Arrays(
        rng.integers(0, 256, (TRAIN, *shape), dtype=np.uint8),
        (np.arange(TRAIN) % 10).astype(np.uint8),
        rng.integers(0, 256, (TEST, *shape), dtype=np.uint8),
        (np.arange(TEST) % 10).astype(np.uint8),
    )


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> Arrays:
    """A small set that passes for the official MNIST."""
    arrays = small()
    monkeypatch.setattr(Mnist, "counts", ((4,) * 10, (2,) * 10))
    monkeypatch.setattr(Mnist, "checksums", {k: sha256(getattr(arrays, k)) for k in KEYS})
    return arrays


def write_idx(path: Path, array: Array) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    raw = header + array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def write_all(folder: Path, arrays: Arrays, ending: str = "") -> None:
    for name, key in zip(FILES, KEYS, strict=True):
        write_idx(folder / (name + ending), getattr(arrays, key))


def write_npz(path: Path, arrays: Arrays, **other: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    held: dict[str, Any] = {key: getattr(arrays, key) for key in KEYS} | other
    np.savez(path, **held)


def save(path: Path, array: Array) -> None:
    """The same array under every key."""
    held: dict[str, Any] = dict.fromkeys(KEYS, array)
    np.savez(path, **held)


WRITERS: dict[str, Callable[[Path, Arrays], None]] = {
    "an archive of arrays": lambda root, a: write_npz(root / "mnist.npz", a),
    "an archive one folder below": lambda root, a: write_npz(root / "oneclass" / "mnist.npz", a),
    "original files": write_all,
    "packed files": lambda root, a: write_all(root, a, ".gz"),
    "torchvision's folder": lambda root, a: write_all(root / "MNIST" / "raw", a),
    "in torchvision's folder": lambda root, a: write_all(root / "raw", a, ".gz"),
}


@pytest.mark.parametrize("form", WRITERS)
def test_mnist_is_found_in_every_form(tmp_path: Path, official: Arrays, form: str) -> None:
    WRITERS[form](tmp_path, official)
    dataset = Mnist(tmp_path)
    assert dataset.categories() == list("0123456789")
    three = dataset.category("3")
    assert [s.id for s in three.train] == [f"train/{i:05}" for i in (3, 13, 23, 33)]
    assert np.array_equal(three.train[1].image.pixels()[..., 2], official.train_images[13])
    assert len(three.test) == TEST
    assert [s.label for s in three.test] == [int(i % 10 != 3) for i in range(TEST)]
    assert [three.test[i].defect for i in (3, 4)] == ["good", "4"]
    assert not three.has_masks
    assert not {s.id for s in three.train} & {s.id for s in three.test}


@pytest.mark.parametrize("protocol", [Protocol("paper"), Protocol("standard")])
def test_every_protocol_takes_them_as_they_are(protocol: Protocol) -> None:
    published = Geometry(resize=256, crop=224)
    assert protocol.geometry(Mnist, published) == Geometry(resize=None)
    assert protocol.fraction(Mnist) == 0
    assert Protocol("paper", image_size=32).geometry(Mnist, published).resize == (32, 32)


def test_categories_share_one_copy(tmp_path: Path, official: Arrays) -> None:
    write_npz(tmp_path / "mnist.npz", official)
    dataset = Mnist(tmp_path)
    images = [dataset.category(name).test[0].image for name in ("1", "7")]
    shared = dataset.arrays().test_images
    assert all(np.shares_memory(image.array, shared) for image in images)


def test_one_changed_pixel_is_noticed(tmp_path: Path, official: Arrays) -> None:
    official.test_images[7, 3, 3] ^= 1
    write_npz(tmp_path / "mnist.npz", official)
    with pytest.raises(DataError, match=r"mnist\.npz: the test images are not the official ones"):
        Mnist(tmp_path).categories()


def test_another_set_under_this_name_is_noticed(tmp_path: Path, official: Arrays) -> None:
    write_npz(tmp_path / "mnist.npz", official, train_labels=np.zeros(TRAIN, np.uint8))
    with pytest.raises(DataError, match="train images per class are"):
        Mnist(tmp_path).categories()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "cannot be read"),
        (lambda p: p.write_bytes(b"no archive"), "cannot be read"),
        (lambda p: np.savez(p, images=np.zeros(3)), "no array 'train_images'"),
        (lambda p: save(p, np.array([{}])), "cannot be read"),
        (lambda p: save(p, np.zeros((3, 28, 28))), "uint8 images"),
    ],
)
def test_bad_archives(
    tmp_path: Path, official: Arrays, damage: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "mnist.npz"
    write_npz(path, official)
    damage(path)
    with pytest.raises(DataError, match=message):
        Mnist(tmp_path).categories()


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_file_cut_short_is_noticed(tmp_path: Path, official: Arrays, ending: str) -> None:
    write_all(tmp_path, official, ending)
    path = tmp_path / (FILES[2] + ending)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match="get the file again"):
        Mnist(tmp_path).categories()


def test_idx_of_other_files(tmp_path: Path) -> None:
    for content in (b"", b"\0\0", b"\0\0\x0d\x01abcd", b"\0\0\x08\x03\0"):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(DataError, match="not a whole idx file"):
            read_idx(tmp_path / "file")


def test_nothing_there(tmp_path: Path) -> None:
    for cls in (Mnist, FashionMnist, Cifar10):
        with pytest.raises(DataError, match=f"{cls.title} is not here.*{cls.stem}.npz") as caught:
            cls(tmp_path).categories()
        assert "--download" in str(caught.value)


def test_unknown_class(tmp_path: Path, official: Arrays) -> None:
    write_npz(tmp_path / "mnist.npz", official)
    with pytest.raises(DataError, match="category 'seven'"):
        Mnist(tmp_path).category("seven")


def test_download_goes_through_torchvision(tmp_path: Path, official: Arrays) -> None:
    class Fetch:
        def __init__(self, root: str, download: bool) -> None:
            assert download
            write_all(Path(root) / "MNIST" / "raw", official)

    class Offline:
        def __init__(self, root: str, download: bool) -> None:
            raise RuntimeError("no network")

    patch = pytest.MonkeyPatch()
    with patch.context() as within:
        within.setattr("torchvision.datasets.MNIST", Fetch)
        Mnist(tmp_path).download()
        assert len(Mnist(tmp_path).category("0").train) == 4
        within.setattr("torchvision.datasets.MNIST", Offline)
        with pytest.raises(DataError, match="the download failed"):
            Mnist(tmp_path).download()


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Small files that pass for the official batches of CIFAR-10."""
    monkeypatch.setattr(Cifar10, "counts", ((5,) * 10, (1,) * 10))
    files = {}
    for number, name in enumerate((*cifar10.TRAIN, *cifar10.TEST)):
        planes = np.full((10, 3072), number, np.uint8)
        planes[:, :1024] = 200  # the red plane comes first
        files[name] = pickle.dumps({"data": planes, "labels": list(range(10))})
    for table in (cifar10.TRAIN, cifar10.TEST):
        for name in table:
            monkeypatch.setitem(table, name, hashlib.md5(files[name]).hexdigest())
    return files


@pytest.mark.parametrize("packed", [False, True])
def test_cifar10_from_its_batches(tmp_path: Path, batches: dict[str, bytes], packed: bool) -> None:
    folder = tmp_path / cifar10.FOLDER
    if packed:
        with tarfile.open(tmp_path / cifar10.ARCHIVE, "w:gz") as archive:
            for name, raw in batches.items():
                member = tarfile.TarInfo(f"{cifar10.FOLDER}/{name}")
                member.size = len(raw)
                archive.addfile(member, io.BytesIO(raw))
    else:
        folder.mkdir()
        for name, raw in batches.items():
            (folder / name).write_bytes(raw)
    cat = Cifar10(tmp_path).category("cat")
    assert len(cat.train) == 5
    assert [s.label for s in cat.test] == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
    pixels = cat.train[4].image.pixels()
    assert pixels.shape == (32, 32, 3)
    assert pixels[0, 0].tolist() == [200, 4, 4]


def test_cifar10_opens_no_unknown_pickle(tmp_path: Path, batches: dict[str, bytes]) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (Path(tmp_path / "opened"),)  # type: ignore[return-value]

    for name, raw in batches.items():
        (tmp_path / name).write_bytes(raw)
    (tmp_path / "data_batch_3").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match="data_batch_3 is not the official file"):
        Cifar10(tmp_path).categories()
    assert not (tmp_path / "opened").exists()


def test_cifar10_archive_cut_short(tmp_path: Path, batches: dict[str, bytes]) -> None:
    (tmp_path / cifar10.ARCHIVE).write_bytes(gzip.compress(b"no archive")[:-3])
    with pytest.raises(DataError, match="get the file again"):
        Cifar10(tmp_path).categories()


@pytest.mark.parametrize("cls", [Mnist, FashionMnist])
def test_real_files(real_data: Path, cls: type[Mnist]) -> None:
    dataset = cls(real_data)
    name = dataset.classes[3]
    category = dataset.category(name)
    assert len(category.train) == cls.official[name]["train"]
    assert len(category.test) == 10_000
    assert category.test[0].image.pixels().shape == (28, 28, 3)
