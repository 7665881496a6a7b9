"""What the names of the folders above a file say about it: split, label, defect type, or masks."""

from __future__ import annotations

from dataclasses import dataclass, field

from .names import bare, composed, is_system, meaning

Dirs = tuple[str, ...]

SAYS_NOTHING = ("image", "place")


@dataclass
class Reading:
    """The meaning of the names of the folders above some files.

    Attributes:
        dirs: these names.
        split, label: train, test or validation; good or defect; empty when nothing says.
        type: the defect type.
        label_at, generic: which folder gave the label, and whether it is a word for any defect.
        mask_at, thumb_at, doubt_at: which folder holds masks, thumbnails, or is doubtful.
        open: folders whose names may hide masks.
        system: hidden, or made by a system.
        clash: why no role fits, or two do.
        culprit: the folder that is to blame.
    """

    dirs: Dirs
    split: str = ""
    label: str = ""
    type: str = ""
    label_at: int = -1
    generic: bool = False
    mask_at: int = -1
    thumb_at: int = -1
    doubt_at: int = -1
    open: list[int] = field(default_factory=list)
    system: bool = False
    clash: str = ""
    culprit: int = 0

    @property
    def usable(self) -> bool:
        """Whether its files may be samples."""
        return not self.system and self.mask_at < 0 and self.thumb_at < 0

    def blame(self, why: str, at: int) -> None:
        if not self.clash:
            self.clash, self.culprit = why, at


def read(dirs: Dirs) -> Reading:
    """Read the folders above a file, from the outermost to its own."""
    reading = Reading(dirs)
    for at, name in enumerate(dirs):
        says = meaning(name)
        if is_system(name):
            reading.system = True
        elif "mask" in says.kinds and says.only(
            "mask", "annotation", "train", "test", "validation", "good", *SAYS_NOTHING
        ):
            reading.mask_at = at
        elif says.kinds and says.only("thumbnail", *SAYS_NOTHING) and "thumbnail" in says.kinds:
            reading.thumb_at = at
        else:
            _label(reading, at)
            continue
        break
    return reading


def _label(reading: Reading, at: int) -> None:
    """Read one folder that is no folder of masks: its split, its label, or nothing."""
    name = reading.dirs[at]
    says = meaning(name)
    split, label = says.one_of("train", "test", "validation"), says.one_of("good", "bad")
    if not says.only(*SAYS_NOTHING) and (
        says.rest or {"mask", "annotation", "doubtful"} & says.kinds
    ):
        reading.open.append(at)
    clear = says.only("train", "test", "validation", "good", "bad", *SAYS_NOTHING)
    if clear and split:
        if reading.split and reading.split != split:
            reading.blame(f"below {reading.split} and below {name}", at)
        reading.split = split
    if clear and label:
        if reading.label and (label == "good") != (reading.label == "good"):
            reading.blame(f"below {reading.dirs[reading.label_at]} and below {name}", at)
        elif not reading.label:
            reading.label = "good" if label == "good" else "defect"
            reading.type, reading.label_at, reading.generic = name, at, True
        return
    if split and not reading.split and not clear:
        reading.blame(f"{name} is a folder for {split}, or something else?", at)
    if clear:
        return
    if "doubtful" in says.kinds and reading.doubt_at < 0:
        reading.doubt_at = at
    if not reading.label:
        reading.label, reading.type, reading.label_at = "defect", name, at
        if "good" in says.kinds:
            reading.blame(f"{name} holds good images, or a kind of defect?", at)
    elif reading.label == "defect" and reading.generic and reading.type == own(reading):
        reading.type = name


def own(reading: Reading) -> str:
    """Return the folder that gave the label."""
    return reading.dirs[reading.label_at]


def told(reading: Reading) -> tuple[str, ...]:
    """Collect what the folders around a mask tell about its image: their names but for words for
    masks."""
    out = []
    for at, name in enumerate(reading.dirs):
        if at == reading.mask_at:
            known = meaning(name).kinds & {"mask", "annotation"}
            name = bare(name, "mask", "annotation", "image") if known else ""
        if name and not (meaning(name).only(*SAYS_NOTHING) and meaning(name).kinds):
            out.append(composed(name))
    return tuple(out)
