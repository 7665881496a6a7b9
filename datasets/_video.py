"""What video data sets share: clips as folders of frames or as video files, frames as images.

A frame is a sample whose group is its clip. Every frame of a test clip is tested; of the training
clips every ``stride``-th one is used, since neighbours are nearly the same image.
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from benchmark import Sample
from benchmark.data.dataset import ImageSource
from benchmark.data.images import FileSource
from benchmark.data.masks import PositiveMask
from benchmark.errors import DataError, SettingsError

from ._files import pictures, subfolders
from ._official import Official

Array = npt.NDArray[Any]
VIDEOS = frozenset((".avi", ".mp4", ".mkv", ".mov"))
OPEN_CLIPS = 2
RECENT_FRAMES = 64
"""Frames kept per open clip: threads ask for neighbours in any order."""


class Video(Official):
    """Base of video data sets.

    Args:
        root: as for every data set.
        stride: every how many frames of a training clip one is used, from its first frame on.
    """

    def __init__(self, root: Path | None = None, *, stride: int = 1) -> None:
        super().__init__(root)
        if stride < 1:
            raise SettingsError(f"setting {self.name}.stride: got {stride}, allowed is 1 or more")
        self.stride = stride
        self.decoder = Decoder()

    def training_frames(self, clip: Path) -> list[Sample]:
        """List every ``stride``-th frame of a clip, all normal."""
        frames = self.frames(clip)[:: self.stride]
        return [Sample(name, source, group=clip.stem) for name, source in frames]

    def frames(self, clip: Path) -> list[tuple[str, ImageSource]]:
        """List ids and sources of all frames of a clip, a folder or a video, in order.

        Raises:
            DataError: no frames, a gap between them, or a video without PyAV to read it.
        """
        below = clip.relative_to(self.place()).as_posix()
        if not clip.is_dir():
            count = self.decoder.count(clip)
            return [(f"{below}:{i:05}", Frame(clip, i, self.decoder)) for i in range(count)]
        numbered = {_number(path): path for path in pictures(clip)}
        if not numbered:
            raise DataError(f"{clip}: no frames in it; unpack the archive again")
        order = sorted(numbered)  # as numbers: 1000 comes after 999
        if gaps := sorted(set(range(order[0], order[-1] + 1)) - set(order)):
            raise DataError(
                f"{clip}: frame {gaps[0]} is missing between {numbered[order[0]].name} and "
                f"{numbered[order[-1]].name}; labels belong to frames by their place, so copy the "
                "clip again"
            )
        return [(f"{below}/{numbered[i].name}", FileSource(numbered[i])) for i in order]


def clips(*places: Path) -> list[Path]:
    """List the clips in the first of some folders that has any: folders of frames, or video
    files."""
    for place in places:
        found = [p for p in subfolders(place) if pictures(p)] or _videos(place)
        if found:
            return found
    return []


def labelled(
    frames: Sequence[tuple[str, ImageSource]],
    labels: Sequence[bool] | Array,
    masks: Sequence[ImageSource | None],
    clip: str,
) -> list[Sample]:
    """Make samples of the frames of a test clip; masks of normal frames are left out.

    Raises DataError for other numbers of frames and labels.
    """
    if not len(frames) == len(labels) == len(masks):
        raise DataError(
            f"clip {clip}: {len(frames)} frames, {len(labels)} labels and {len(masks)} masks; the "
            "numbers must be equal, or labels would belong to other frames. Copy the clip and its "
            "labels again"
        )
    return [
        Sample(
            name, source, int(label), "anomaly" if label else "good", mask if label else None, clip
        )
        for (name, source), label, mask in zip(frames, labels, masks, strict=True)
    ]


class FrameMask(PositiveMask):
    """A frame's mask in a file; labels and masks were drawn apart, so it may mark nothing."""

    may_be_empty = True


@dataclass(frozen=True)
class PackedMask:
    """A frame's mask held in memory, compressed.

    Attributes:
        data: see :meth:`of`.
        shape: height and width.
        title: what error messages call it.
    """

    data: bytes
    shape: tuple[int, int]
    title: str
    may_be_empty: ClassVar[bool] = True

    @classmethod
    def of(cls, mask: Array, title: str) -> PackedMask:
        """Pack a mask, bool (H, W)."""
        return cls(zlib.compress(np.packbits(mask).tobytes(), 1), mask.shape, title)

    def name(self) -> str:
        return self.title

    def content(self) -> bytes:
        return repr(self.shape).encode() + self.mask().tobytes()

    def pixels(self) -> Array:
        return np.repeat(self.mask()[..., None] * np.uint8(255), 3, axis=2)

    def mask(self) -> Array:
        bits = np.frombuffer(zlib.decompress(self.data), np.uint8)
        count = self.shape[0] * self.shape[1]
        return np.unpackbits(bits, count=count).reshape(self.shape).astype(bool)


@dataclass(frozen=True)
class Frame:
    """One frame of a video file."""

    path: Path
    index: int
    decoder: Decoder = field(compare=False, repr=False)

    def name(self) -> str:
        return f"{self.path}, frame {self.index}"

    def content(self) -> bytes:
        """Return the file's SHA-256 and the frame's number: what it decodes to follows from them."""
        return f"{self.decoder.sha256(self.path)}:{self.index}".encode()

    def pixels(self) -> Array:
        """Decode the frame: uint8 RGB (H, W, 3). Raises DataError when the video ends earlier or is
        damaged."""
        return self.decoder.frame(self.path, self.index)

    def mask(self) -> Array:
        raise DataError(f"{self.name()}: a frame of a video, not a mask")


class Decoder:
    """A reader of many videos' frames through PyAV, shared by all frames of a data set.

    A video is decoded forward once as long as its frames are asked for nearly in order, which is how
    a run reads them; a frame that lies too far back opens the video anew. Safe to use from threads.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[Path, _Clip] = OrderedDict()
        self._facts: dict[tuple[Path, str], Any] = {}
        self._lock = threading.Lock()

    def count(self, path: Path) -> int:
        """Count the frames of a video from its packets, without decoding. Raises DataError."""
        return int(self._fact(path, "count", _packets))

    def sha256(self, path: Path) -> str:
        """Hash a video file with SHA-256. Raises DataError."""
        return str(self._fact(path, "sha256", _sha256))

    def frame(self, path: Path, index: int) -> Array:
        """Decode one frame: uint8 RGB (H, W, 3). Raises DataError."""
        with self._lock:
            clip = self._open.pop(path, None)
            if clip is None or not clip.reaches(index):
                if clip is not None:
                    clip.close()
                clip = _Clip(path)
            self._open[path] = clip
            while len(self._open) > OPEN_CLIPS:
                self._open.popitem(last=False)[1].close()
            return clip.frame(index)

    def _fact(self, path: Path, name: str, find: Callable[[Path], object]) -> Any:
        with self._lock:
            if (path, name) not in self._facts:
                self._facts[path, name] = find(path)
            return self._facts[path, name]


class _Clip:
    """A video that is being decoded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._container = _opened(path)
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        self._decoded = iter(self._container.decode(stream))
        self._next = 0
        self._recent: OrderedDict[int, Any] = OrderedDict()

    def reaches(self, index: int) -> bool:
        return index >= self._next or index in self._recent

    def frame(self, index: int) -> Array:
        while self._next <= index:
            try:
                frame = next(self._decoded)
            except StopIteration:
                raise DataError(
                    f"{self.path}: ends after {self._next} frames and should have more than "
                    f"{index}; save its frames as images in a folder of the clip's name "
                    f"({self.path.stem}/000.jpg, …), or copy the video again"
                ) from None
            except Exception as error:  # libraries of codecs raise many kinds
                raise DataError(f"{self.path}, frame {self._next}: damaged ({error})") from error
            self._recent[self._next] = frame
            self._next += 1
            if len(self._recent) > RECENT_FRAMES:
                self._recent.popitem(last=False)
        pixels: Array = self._recent[index].to_ndarray(format="rgb24")
        return pixels

    def close(self) -> None:
        self._recent.clear()
        self._container.close()


def _opened(path: Path) -> Any:
    try:
        import av
    except ImportError:
        raise DataError(
            f"{path}: reading videos needs PyAV, which is not installed; install it with pip "
            f"install 'iad-bench[av]', or save the frames as images in a folder of the clip's name "
            f"({path.stem}/000.jpg, …)"
        ) from None
    try:
        container = av.open(str(path))
        if not container.streams.video:
            raise DataError(f"{path}: has no video stream; copy it again")
        return container
    except (OSError, ValueError) as error:  # PyAV's own errors derive from these
        raise DataError(f"{path}: cannot be opened as a video ({error}); copy it again") from None


def _packets(path: Path) -> int:
    with _opened(path) as container:
        count = sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)
    if not count:
        raise DataError(f"{path}: a video without frames; copy it again")
    return count


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _videos(folder: Path) -> list[Path]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [p for p in files if p.suffix.lower() in VIDEOS and not p.name.startswith(".")]


def _number(path: Path) -> int:
    """Read the number of a frame from its file's name. Raises DataError when that is no number."""
    if not path.stem.isdecimal():
        raise DataError(f"{path}: frames are named by their numbers, such as 000.jpg; rename it")
    return int(path.stem)
