"""Survey of a category's files before a run: doubles, dark images, odd masks, sizes, and what a
protocol's window leaves out. None of it stops a run; all of it is said and recorded."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmark.data.dataset import Category, ImageSource, Sample
from benchmark.data.geometry import Geometry
from benchmark.data.images import FileSource, MaskValuesError, in_parallel
from benchmark.data.loading import Keys
from benchmark.data.looks import Header, header, highest
from benchmark.data.stress import CorruptedSource
from benchmark.errors import DataError

WARNINGS: Mapping[str, str] = {
    "in train and test": "test images that are training images too; scores of them mean nothing",
    "good and defective": "images that are good in one place and defective in another",
    "twice": "images that are there twice within a split",
    "dark": "16-bit images that use a part of their range and are nearly black when decoded",
    "mostly marked": "masks that mark most of their image; if they mark the background, invert them",
    "turned": "images whose EXIF orientation is another one than their mask's; turn one of the two",
    "empty mask": "masks without a defective pixel; mark the defect, or move the image to good",
}
"""The kinds of things that a run goes on with, and what to do about each."""

DARK = 1 << 14
"""16-bit images that stay below this, a quarter of the range, are called dark."""
DARK_LOOKS = 20
"""So many 16-bit images are looked at for that."""


@dataclass(frozen=True)
class Found:
    """One thing to be warned of.

    Attributes:
        ids: of the samples.
        text: names the files.
    """

    ids: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Survey:
    """The findings of a look through one category.

    Attributes:
        warnings: per kind, a key of WARNINGS, what was found.
        sizes: number of images by (width, height), upright.
        defects: number of defective images whose mask could be read and marks something.
        outside: per geometry, how many of these have no marked pixel left where it measures.
    """

    warnings: Mapping[str, Sequence[Found]]
    sizes: Mapping[tuple[int, int], int]
    defects: int
    outside: Mapping[Geometry, int]

    def as_json(self, geometry: Geometry) -> dict[str, Any]:
        """Return plain values for a record of a method with this geometry."""
        common = sorted(self.sizes.items(), key=lambda item: -item[1])[:5]
        return {
            "warnings": {
                kind: {"count": len(found), "first": list(found[0].ids)}
                for kind, found in self.warnings.items()
            },
            "sizes": {
                "different": len(self.sizes),
                "most": [[width, height, count] for (width, height), count in common],
            },
            "defects_with_mask": self.defects,
            "defects_outside": self.outside.get(geometry, 0),
        }


@dataclass(frozen=True)
class _Seen:
    """The findings in one sample's files."""

    image: Header | None
    mask: Header | None = None
    share: float | None = None
    outside: tuple[bool, ...] = ()
    grey: MaskValuesError | None = None


def survey(
    category: Category, keys: Keys, geometries: Sequence[Geometry] = (), threads: int | None = None
) -> tuple[Survey, list[MaskValuesError]]:
    """Look at the headers of all images and at all masks.

    Args:
        category, keys: the samples and their hashes.
        geometries: count for each the defects outside of what it measures.
        threads: for decoding; by default one per core.

    Returns:
        What was found, and the masks whose values say neither good nor defective, the worst first.
    """

    def look(sample: Sample) -> _Seen:
        return _look(sample, geometries)

    samples = [*category.normal, *category.test]
    seen = list(in_parallel(look, samples, threads))
    warnings = same_images(category, keys)
    for kind, found in _of_masks(samples, seen):
        warnings.setdefault(kind, []).append(found)
    if dark := _dark([s for s, found in zip(samples, seen, strict=True) if _wide(found)]):
        warnings["dark"] = dark
    sizes = Counter((found.image.width, found.image.height) for found in seen if found.image)
    marked = [found for found in seen if found.share]
    outside = {g: sum(f.outside[i] for f in marked) for i, g in enumerate(geometries)}
    grey = sorted((f.grey for f in seen if f.grey), key=lambda error: -error.pixels)
    return Survey(warnings, sizes, len(marked), outside), grey


def require_values(category: str, grey: Sequence[MaskValuesError], masks: int) -> None:
    """Raises MaskValuesError when some masks are neither, saying how many and the worst."""
    if grey:
        worst = f"; the worst has {grey[0].pixels} such pixels" if grey[0].pixels else ""
        raise MaskValuesError(
            f"category {category!r}: {len(grey)} of {masks} masks have values that say neither good "
            f"nor defective{worst}: {grey[0]}",
            grey[0].pixels,
        )


def same_images(category: Category, keys: Keys) -> dict[str, list[Found]]:
    """Find images with the same content, by the kind of contradiction; one finding per pair."""
    where: dict[str, list[tuple[str, Sample]]] = defaultdict(list)
    for split, samples, hashes in (
        ("train", category.normal, keys.train),
        ("test", category.test, keys.test),
    ):
        for sample, key in zip(samples, hashes, strict=True):
            where[key].append((split, sample))
    out: dict[str, list[Found]] = defaultdict(list)
    for same in where.values():
        for i, (split, sample) in enumerate(same[1:], 1):
            first = same[0]
            other = next((s for s in same[:i] if s[1].label != sample.label), None)
            if other:
                kind = "good and defective"
            elif split != first[0]:
                kind, other = "in train and test", first
            else:
                kind, other = "twice", first
            text = f"{other[1].image.name()} = {sample.image.name()}"
            out[kind].append(Found((other[1].id, sample.id), text))
    return dict(out)


def with_threshold(category: Category, threshold: int | None) -> Category:
    """Return the same category, its grey masks read with a threshold (of 255)."""
    if threshold is None:
        return category

    def changed(mask: ImageSource | None) -> ImageSource | None:
        if isinstance(mask, CorruptedSource):
            inner = changed(mask.source)
            assert inner is not None
            return replace(mask, source=inner)
        return replace(mask, threshold=threshold) if isinstance(mask, FileSource) else mask

    return replace(category, test=[replace(s, mask=changed(s.mask)) for s in category.test])


def _look(sample: Sample, geometries: Sequence[Geometry]) -> _Seen:
    image = header(sample.image)
    if sample.mask is None:
        return _Seen(image)
    try:
        mask = sample.mask.mask()
    except MaskValuesError as error:
        return _Seen(image, grey=error)
    except DataError:
        return _Seen(image)
    outside = tuple(not geometry.mask(mask).any() for geometry in geometries)
    return _Seen(image, header(sample.mask), float(mask.mean()), outside)


def _of_masks(samples: Sequence[Sample], seen: Sequence[_Seen]) -> Iterable[tuple[str, Found]]:
    for sample, found in zip(samples, seen, strict=True):
        if sample.mask is None or found.share is None:
            continue
        name = sample.mask.name()
        if not found.share and not getattr(sample.mask, "may_be_empty", False):
            yield "empty mask", Found((sample.id,), f"{name}: no pixel is marked as defective")
        elif found.share > 0.5:
            yield "mostly marked", Found((sample.id,), f"{name}: {found.share:.0%} of it")
        if found.image and found.mask and found.image.orientation != found.mask.orientation:
            turned = f"orientation {found.image.orientation}, and {name} {found.mask.orientation}"
            yield "turned", Found((sample.id,), f"{sample.image.name()}: {turned}")


def _wide(found: _Seen) -> bool:
    return found.image is not None and found.image.wide


def _dark(samples: Sequence[Sample]) -> list[Found]:
    """Report all of these 16-bit images when none of those looked at comes near the end of the
    range, otherwise none."""
    step = max(1, len(samples) // DARK_LOOKS)
    top = 0
    for sample in samples[::step][:DARK_LOOKS]:
        try:
            top = max(top, highest(sample.image))
        except DataError:
            continue
    if not samples or not 0 < top < DARK:
        return []
    bits = top.bit_length()
    factor = 1 << (16 - bits)
    text = f"16-bit values that end at {(1 << bits) - 1}; multiply by {factor}"
    return [Found((s.id,), f"{s.image.name()}: {text}") for s in samples]


def sizes_text(sizes: Mapping[tuple[int, int], int]) -> str:
    """Write the sizes of images in a few words, width × height.

    >>> sizes_text({(64, 48): 9}), sizes_text({(64, 48): 9, (32, 48): 1})
    ('64×48', '2 sizes, 32×48 to 64×48')
    """
    if not sizes:
        return "-"
    ordered = sorted(sizes, key=lambda size: size[0] * size[1])
    low, high = (f"{size[0]}×{size[1]}" for size in (ordered[0], ordered[-1]))
    return low if len(sizes) == 1 else f"{len(sizes)} sizes, {low} to {high}"


def squashed(sizes: Mapping[tuple[int, int], int], limit: float = 1.25) -> tuple[int, int] | None:
    """Propose a size (height, width) for images that a square would squash by more than ``limit``:
    the usual aspect in multiples of 32, the shorter side 256; None where a square will do."""
    if not sizes or len({width > height for width, height in sizes}) > 1:
        return None  # upright and lying images have no size in common
    (width, height), _ = max(sizes.items(), key=lambda item: item[1])
    ratio = max(width, height) / min(width, height)
    if ratio <= limit:
        return None
    long = round(256 * ratio / 32) * 32
    return (long, 256) if height > width else (256, long)
