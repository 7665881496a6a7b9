"""What lies behind a record: its score files, and the images that were scored."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from benchmark.data.dataset import Category, Dataset
from benchmark.data.geometry import Geometry
from benchmark.data.stress import Stress
from benchmark.data.survey import with_threshold
from benchmark.errors import OtherDataError, StoreError
from benchmark.machine import cores
from benchmark.metrics.threshold import DEFAULT
from benchmark.plugins.registry import Registry
from benchmark.records import store
from benchmark.records.exchange import FORMS, rows_of

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.data.loading import Keys

Array = npt.NDArray[Any]


class Stored:
    """A record with its score files, read when asked for.

    Attributes:
        row: its row of the frame of :func:`benchmark.load_results`.
        path: of the record.
        folder: where its score files are; those of an exported record in the exported file's folder.
        exported: file and path in it of an exported record; None for a record of a folder.
    """

    def __init__(self, row: pd.Series[Any]) -> None:
        self.row = row
        self.path = Path(row["path"])
        self.folder = self.path.parent
        self.exported: tuple[Path, str] | None = None
        if (results := Path(row["results"])).suffix in FORMS and results.is_file():
            place = self.path.relative_to(results)
            self.folder = results.parent / place.parent
            self.exported = results, place.as_posix()

    @property
    def title(self) -> str:
        return f"{self.row['name']}, {self.row['category']}"

    @cached_property
    def record(self) -> Mapping[str, Any]:
        """The whole record."""
        if self.exported:
            file, path = self.exported
            return rows_of(file)[path].record
        return store.read(self.path) or {}

    @property
    def files(self) -> Mapping[str, Any]:
        """Score files that it cites, by kind."""
        return self.record.get("files") or {}

    @property
    def threshold(self) -> float | None:
        """Set on the held-out normal images; None where the protocol holds out none."""
        value = self.record.get("metrics", {}).get("threshold")
        return None if value is None else float(value)

    @property
    def pixel_threshold(self) -> float | None:
        """Set on the held-out images' pixels; None where there is none."""
        value = self.record.get("metrics", {}).get("pixel_threshold")
        return None if value is None else float(value)

    @property
    def rule(self) -> str:
        """The rule that set it."""
        return str(self.record.get("metrics", {}).get("threshold_rule", DEFAULT))

    @cached_property
    def scores(self) -> store.Scores:
        """Raises StoreError when the score file is gone or was never kept."""
        cited = self.files.get("scores")
        if not cited:
            raise StoreError(f"{self.path}: cites no score file (records can be kept without)")
        return store.Scores.read(self.folder, cited)

    @cached_property
    def maps(self) -> Array | None:
        """Anomaly maps (N, H, W), memory-mapped; None when the method has none or none were kept."""
        cited = self.files.get("maps")
        return store.read_maps(self.folder, cited) if cited else None

    @property
    def geometry(self) -> Geometry:
        return Geometry.from_json(self.row["geometry"])


@dataclass(frozen=True)
class Content:
    """A category as it is on the disk now, with its hashes."""

    category: Category
    keys: Keys

    def check(self, scores: store.Scores, fingerprint: str) -> None:
        """Check that scores were made from these very images, labels and masks.

        Args:
            scores: of a record.
            fingerprint: of the data the record was made from.

        Raises:
            OtherDataError: names the first image or mask that differs, and the next step.
        """
        if fingerprint == self.keys.fingerprint:
            return
        if other := self._other_image(scores):
            raise OtherDataError(
                f"{other}; check --data-root, or run the cell again (bench run --force)"
            )
        masks = self.changed_masks(scores, fingerprint)
        if masks is None:
            raise OtherDataError(
                "the training images have changed, or masks have, since it was run; check "
                "--data-root, or run the cell again (bench run --force)"
            )
        raise OtherDataError(
            f"masks have changed since it was run ({len(masks)} of {len(scores.ids)} test images, "
            f"the first is {masks[0]}); bench evaluate measures it again"
        )

    def in_order(self, scores: store.Scores) -> Category:
        """Return the category with its test images in the order in which they were scored."""
        samples = {sample.id: sample for sample in self.category.test}
        return replace(self.category, test=[samples[name] for name in scores.ids])

    def changed_masks(self, scores: store.Scores, fingerprint: str) -> list[str] | None:
        """List the test images whose masks differ, when nothing else does; None when that is not
        sure.

        It is sure when today's images with the masks of that time give the old fingerprint.
        """
        from benchmark.data.loading import fingerprint_of

        if scores.mask_keys is None or self._other_image(scores):
            return None
        before, after = self.category.normal, self.category.unlabelled
        samples = [*before, *self.category.test, *after]
        then = dict(zip(scores.ids, scores.mask_keys, strict=True))
        images = [*self.keys.train, *self.keys.test, *self.keys.unlabelled]
        old = [*["-"] * len(before), *(then[s.id] for s in self.category.test), *["-"] * len(after)]
        if fingerprint_of(samples, list(zip(images, old, strict=True))) != fingerprint:
            return None
        now = zip(self.category.test, self.keys.masks, strict=True)
        return [sample.id for sample, mask in now if mask != then[sample.id]]

    def _other_image(self, scores: store.Scores) -> str:
        """Describe the first test image that is not as it was scored; empty when all are."""
        tests = self.category.test
        now = {s.id: (key, s.label, s.defect) for s, key in zip(tests, self.keys.test, strict=True)}
        for name, key, label, defect in zip(
            scores.ids, scores.keys, scores.labels, scores.defects, strict=True
        ):
            found = now.pop(name, None)
            if found is None:
                return f"test image {name} was scored and is not in the data set now"
            if found[0] != key:
                return f"test image {name} is another one than was scored"
            if found[1:] != (int(label), defect):
                return f"test image {name} was {defect} when it was scored and is {found[2]} now"
        return f"test image {next(iter(now))} is new and was not scored" if now else ""


class Datasets:
    """The data sets that scores are held against, opened when asked for.

    Attributes:
        refused: what was said of records made from other images or masks than these.
    """

    def __init__(
        self, data_root: str | Path | None = None, plugins: Iterable[str | Path] = ()
    ) -> None:
        self._root = str(data_root) if data_root else None
        self._registry = Registry([Path(p) for p in plugins])
        self._datasets: dict[tuple[str, str], Dataset] = {}
        self._known: dict[tuple[str, str, str, Stress], Content] = {}
        self.refused: list[str] = []

    def of(self, row: Mapping[str, Any] | pd.Series[Any]) -> Content:
        """Return the category of a record, from its row or its key, hashed once. Raises
        DataError."""
        stress = Stress.from_json(row["stress"] if "stress" in row else row["protocol"])
        return self.content(row["source"], row["category"], row.get("source_settings"), stress)

    def content(
        self,
        source: str,
        name: str,
        settings: Mapping[str, Any] | None = None,
        stress: Stress | None = None,
    ) -> Content:
        """Return a category, made harder if asked, hashed once. Raises DataError, saying where it
        was looked for."""
        which = (source, repr(sorted((settings or {}).items())))
        stress = stress or Stress()
        if (*which, name, stress) not in self._known:
            from benchmark.data.loading import hash_category

            if which not in self._datasets:
                opened = self._registry.open_dataset(source, self._root, settings)
                self._datasets[which] = opened
            category = stress.altered(self._datasets[which].category(name), source)
            self._known[*which, name, stress] = Content(category, hash_category(category, cores()))
        return self._known[*which, name, stress]

    def scored(self, stored: Stored) -> Category:
        """Return the category that a record was made from.

        Raises:
            DataError: it is not found.
            OtherDataError: its images or masks are others now.
            StoreError: the record's scores are gone.
        """
        content = self.of(stored.row)
        try:
            content.check(stored.scores, stored.row["data"])
        except OtherDataError as error:
            if (text := f"{stored.path}: {error}") not in self.refused:
                self.refused.append(text)
            raise
        threshold = stored.row["mask_threshold"]
        given = threshold is not None and not math.isnan(threshold)
        return with_threshold(content.in_order(stored.scores), int(threshold) if given else None)

    def category(self, source: str, name: str) -> Category:
        """Return a category's samples. Raises DataError, saying where they were looked for."""
        return self.content(source, name).category


def one_seed(frame: pd.DataFrame) -> list[Stored]:
    """Choose the record of the first seed of every configuration and category."""
    first = frame.sort_values("seed").drop_duplicates(["dataset", "protocol", "config", "category"])
    order = first.sort_values(["dataset", "protocol", "name", "category"])
    return [Stored(row) for _, row in order.iterrows()]
