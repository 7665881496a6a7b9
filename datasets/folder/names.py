"""What the names of folders and files say about images: the words, and how a name is read.

Case, punctuation, digits and the composition of accents make no difference: ``Ground-Truth``,
``groundTruth`` and ``ground_truth2`` are one phrase.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

PHRASES: dict[str, tuple[str, ...]] = {
    "good": (
        *("good", "normal", "ok", "okay", "nominal", "healthy", "pass", "passed", "clean"),
        *("regular", "defect free", "no defect", "no defects", "not defective", "anomaly free"),
        *("no anomaly", "no anomalies", "non defective", "non anomalous", "fault free"),
    ),
    "bad": (
        *("bad", "abnormal", "anomaly", "anomalies", "anomalous", "defect", "defects", "defective"),
        *("ng", "nok", "ko", "not ok", "not good", "no good", "not normal", "fault", "faults"),
        *("faulty", "fail", "failed", "reject", "rejects", "rejected", "unhealthy"),
    ),
    "train": ("train", "training", "trainset"),
    "test": ("test", "testing", "testset"),
    "validation": ("val", "valid", "validation"),
    "mask": ("mask", "masks", "gt", "groundtruth", "ground truth"),
    "annotation": (  # perhaps masks: a label may also be what is photographed
        *("label", "labels", "anno", "annot", "annotation", "annotations", "seg", "segm"),
        *("segmentation", "segmentations", "truth", "roi"),
    ),
    "thumbnail": ("thumb", "thumbs", "thumbnail", "thumbnails"),
    "doubtful": (  # pictures that are made of others, or that nobody has sorted
        *("overlay", "overlays", "heatmap", "heatmaps", "preview", "previews", "vis", "viz"),
        *("visualization", "visualizations", "visualisation", "visualisations", "result"),
        *("results", "output", "outputs", "prediction", "predictions", "backup", "old", "tmp"),
        *("temp", "trash", "unused", "ignore", "ignored", "unknown", "unlabeled", "unlabelled"),
        *("unsorted", "todo", "misc", "other", "others", "example", "examples", "crop", "crops"),
        *("depth", "calibration", "doc", "docs"),
    ),
    "image": (
        *("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "rgb"),
        *("data", "dir", "folder", "set", "file", "files", "png", "jpg", "jpeg", "bmp", "tif"),
    ),
    "place": (
        *("cam", "camera", "cameras", "day", "date", "batch", "lot", "shift", "line", "station"),
        *("session", "sample", "part", "run", "view", "s", "c"),
    ),
}
"""What a word or phrase in a name says. ``image`` and ``place`` say nothing about good or bad."""

SYSTEM = frozenset(
    ("__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found")
)
"""Folders that archives, file servers and operating systems add, in lower case."""

_SAYS = {phrase: kind for kind, phrases in PHRASES.items() for phrase in phrases}
_LONGEST = max(phrase.count(" ") + 1 for phrase in _SAYS)


def composed(name: str) -> str:
    """Return the name as it is compared: composed Unicode, case folded."""
    return unicodedata.normalize("NFC", name).casefold()


@dataclass(frozen=True)
class Meaning:
    """The meaning of a folder's name.

    Attributes:
        kinds: keys of PHRASES.
        rest: whether it has words that PHRASES does not know.
    """

    kinds: frozenset[str]
    rest: bool

    def one_of(self, *names: str) -> str:
        """Return the only one of these kinds; empty when there is none, or several."""
        found = [name for name in names if name in self.kinds]
        return found[0] if len(found) == 1 else ""

    def only(self, *names: str) -> bool:
        """Tell whether it says nothing but these."""
        return not self.rest and self.kinds <= frozenset(names)


@lru_cache(maxsize=1 << 16)
def meaning(name: str) -> Meaning:
    """Reads a folder's name.

    >>> sorted(meaning("Ground-Truth").kinds), meaning("2024-05-02").only()
    (['mask'], True)
    """
    words = _words(name)
    kinds, rest, at = set(), False, 0
    while at < len(words):
        for length in range(min(_LONGEST, len(words) - at), 0, -1):
            kind = _SAYS.get(" ".join(words[at : at + length]))
            if kind:
                kinds.add(kind)
                break
        else:
            rest, length = True, 1
        at += length
    return Meaning(frozenset(kinds), rest)


def is_system(name: str) -> bool:
    """Tell whether a file or folder is hidden, or a folder that a system made."""
    return name.startswith(".") or name.lower() in SYSTEM


def stem_of(path: str) -> str:
    """Return the name of the file at a path with forward slashes, without its ending."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def suffix_of(path: str) -> str:
    """Return the ending of the file at a path, in lower case."""
    return path.rpartition("/")[2].rpartition(".")[2].lower()


@lru_cache(maxsize=1 << 16)
def bare(stem: str, *kinds: str) -> str:
    """Strip a file's stem of the words of these kinds and the separator beside each.

    >>> bare("mask_007", "mask"), bare("7_GT (copy)", "mask"), bare("007", "mask")
    ('007', '7 (copy)', '007')
    """
    joined = re.sub(r"ground[\W_]?truth", "gt", _split_camels(stem), flags=re.IGNORECASE)
    pieces = _PIECES.findall(joined)
    kept: list[str] = []
    for at, piece in enumerate(pieces):
        if _SAYS.get(composed(piece)) not in kinds:
            kept.append(piece)
        elif kept:
            kept[-1] = kept[-1].rstrip(_SEPARATORS)
        elif at + 1 < len(pieces):
            pieces[at + 1] = pieces[at + 1].lstrip(_SEPARATORS)
    return composed("".join(kept))


def has_word(stem: str, *kinds: str) -> bool:
    """Tell whether a file's stem has a word of one of these kinds.

    >>> has_word("part7_Mask", "mask"), has_word("unmasked", "mask")
    (True, False)
    """
    return bool(meaning(stem).kinds.intersection(kinds))


_SEPARATORS = "-_. "
_PIECES = re.compile(r"[^\W\d_]+|\d+|[\W_]+")


def _split_camels(name: str) -> str:
    name = unicodedata.normalize("NFC", name)
    return re.sub(r"(?<=[a-zäöüß])(?=[A-Z])", "_", name)


def _words(name: str) -> list[str]:
    return [w.casefold() for w in re.findall(r"[^\W\d_]+", _split_camels(name))]
