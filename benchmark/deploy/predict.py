"""Verdicts on files: a folder with a table, maps, pictures and a contact sheet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from os.path import commonpath
from pathlib import Path
from typing import Any

from benchmark import machine
from benchmark.console import PlainConsole
from benchmark.data.images import EXTENSIONS, in_parallel
from benchmark.deploy.judge import Judge, Prepared, Verdict, prepare
from benchmark.deploy.pictures import PHOTO_SIDE, Limits, Wanted, picture, write_map, write_picture
from benchmark.deploy.rows import ABOUT, LINES, TABLE, Rows, stamp
from benchmark.deploy.sheet import SHEET, write_sheet
from benchmark.errors import BenchError, DataError
from benchmark.places import expanded


@dataclass
class Outcome:
    """The verdicts in a folder.

    Attributes:
        folder: where they are.
        rows: one per image, by path: ``path``, ``score``, ``decision``, ``margin``,
            ``milliseconds``; of an image that failed ``path`` and ``error``.
        judged: how many of them were judged just now; the others were before.
    """

    folder: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    judged: int = 0

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if "error" in row]


def predict(
    judge: Judge,
    images: Sequence[str | Path],
    out: Path,
    console: PlainConsole,
    *,
    wanted: Wanted | None = None,
    batch_size: int = 0,
    force: bool = False,
) -> Outcome:
    """Judge image files, and write what was found. Stopped and started again, it goes on.

    Args:
        judge: the detector.
        images: files, and folders, whose images are taken from all levels.
        out: folder of the results.
        console: shows progress.
        wanted: what is written beside the table.
        batch_size: images judged together; 0 as in the run.
        force: judge all anew.

    Raises:
        DataError: no image there.
        StoreError: ``out`` cannot be written, or holds verdicts of another detector.
    """
    wanted = wanted or Wanted()
    paths = list_images(images, out)
    about = {
        "detector": judge.kept.info["state"]["sha256"],
        "engine": type(judge).__name__,
        "batch_size": batch_size or judge.batch_size,
        "maps": wanted.maps,
        "pictures": wanted.pictures,
        "map_limits": judge.kept.info["map_limits"],
        "name": judge.kept.title,
        "threshold": judge.kept.info["threshold"],
        "closeness": judge.closeness(),
    }
    with Rows.opened(out, about, force) as rows:
        writer = _Writer(judge, out, wanted, Path(commonpath([p.parent for p in paths])))
        judged = 0
        # batches are those of the whole list, so that a second start changes no batch-mates
        chunks = list(_chunks(paths, batch_size or judge.batch_size))
        todo = [left for c in chunks if (left := [p for p in c if not rows.has(p)])]
        batches = _batches(judge, todo, PHOTO_SIDE if wanted.pictures else 0)
        for batch in console.track(batches, "batches judged", len(todo)):
            found = writer.write(batch)
            rows.add(found)
            judged += len(found)
        listed = set(map(str, paths))
        every = sorted((r for r in rows.read() if r["path"] in listed), key=lambda r: r["path"])
        rows.write_table(every)
        if wanted.pictures:
            write_sheet(judge.kept, every, out)
    return Outcome(out, every, judged)


def list_images(images: Iterable[str | Path], out: Path) -> list[Path]:
    """List image files, each once: those named as they are, those of folders sorted.

    Hidden files and what lies in ``out`` are left out.

    Raises:
        DataError: a path that does not exist, or no image at all.
    """
    found: dict[Path, None] = {}
    for image in images:
        path = expanded(image)
        if path.is_dir():
            inside = (p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS)
            shown = (p for p in inside if not _hidden(p, path) and not p.is_relative_to(out))
            found |= dict.fromkeys(sorted(p for p in shown if p.is_file()))
        elif path.exists():
            found[path] = None
        else:
            raise DataError(f"{path}: no such file or folder; name images, or folders of them")
    if not found:
        named = ", ".join(map(str, images)) or "nothing"
        raise DataError(f"no image in {named}; endings taken are {' '.join(sorted(EXTENSIONS))}")
    return list(found)


@dataclass(frozen=True)
class _Batch:
    """Files with what became of each: ready, or why not."""

    paths: Sequence[Path]
    images: Sequence[Prepared | BenchError]


@dataclass
class _Writer:
    """Judges batches and writes their maps and pictures; gives the rows."""

    judge: Judge
    out: Path
    wanted: Wanted
    base: Path

    def write(self, batch: _Batch) -> list[dict[str, Any]]:
        ready = [image for image in batch.images if isinstance(image, Prepared)]
        answers = iter(_by_size(self.judge, ready))
        work = [
            (path, image, image if isinstance(image, BenchError) else next(answers))
            for path, image in zip(batch.paths, batch.images, strict=True)
        ]
        return list(in_parallel(lambda w: self._row(*w), work))

    def _row(
        self, path: Path, image: Prepared | BenchError, found: Verdict | BenchError
    ) -> dict[str, Any]:
        if isinstance(found, BenchError) or isinstance(image, BenchError):
            return {"path": str(path), "error": str(found)}
        row: dict[str, Any] = {
            "path": str(path),
            "score": found.score,
            "decision": found.decision,
            "margin": found.margin,
            "milliseconds": round(found.milliseconds, 3),
            "size": list(found.size),
            "file": stamp(path),
        }
        name = str(path.relative_to(self.base))
        limits: Limits | None = self.judge.kept.info["map_limits"]
        anomalies = found.map if self.wanted.maps != "none" else None
        if anomalies is not None and limits is not None:
            row["map"] = f"maps/{name}.{self.wanted.maps}"
            write_map(anomalies, limits, self.wanted.maps, self.out / row["map"])
        if image.photo is not None:
            threshold = self.judge.kept.pixel_threshold
            drawn = picture(image.photo, found.input_map, found.geometry, limits, threshold)
            row["picture"] = f"pictures/{name}.jpg"
            write_picture(drawn, self.out / row["picture"])
        return row


def _by_size(judge: Judge, images: Sequence[Prepared]) -> list[Verdict | BenchError]:
    return judge.judge_each(images) if images else []


def _batches(judge: Judge, todo: Sequence[Sequence[Path]], photo_side: int) -> Iterator[_Batch]:
    """Decode files ahead of the detector, in bounded memory."""
    geometry, size = judge.kept.geometry, judge.kept.size

    def ready(path: Path) -> Prepared | BenchError:
        try:
            return prepare(path, geometry, size, str(path), photo_side)
        except BenchError as error:
            return error

    found = in_parallel(ready, (path for chunk in todo for path in chunk), machine.cores())
    for chunk in todo:
        yield _Batch(chunk, list(islice(found, len(chunk))))


def _chunks(paths: Sequence[Path], size: int) -> Iterator[Sequence[Path]]:
    for start in range(0, len(paths), size):
        yield paths[start : start + size]


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def summary(outcome: Outcome, judge: Judge) -> str:
    """Say in a few lines what was found, and where it is."""
    total, failed = len(outcome.rows), outcome.failed
    lines = [f"{judge.kept.title}: {total} images, {outcome.judged} judged now"]
    lines.append(threshold_text(judge))
    if judge.kept.threshold is not None:
        bad = [row for row in outcome.rows if row.get("decision") == "defective"]
        good = total - len(bad) - len(failed)
        lines.append(
            f"{len(bad)} defective, {good} good" + f", {len(failed)} failed" * bool(failed)
        )
    for row in failed[:10]:
        lines.append(f"not judged: {row['error']}")
    if len(failed) > 10:
        lines.append(f"not judged: {len(failed) - 10} more, see {TABLE}")
    lines.append(judge.closeness())
    names = [name for name in (TABLE, LINES, ABOUT, SHEET) if (outcome.folder / name).exists()]
    lines.append(f"{outcome.folder}: {', '.join(names)}")
    return "\n".join(lines)


def threshold_text(judge: Judge) -> str:
    """Say what the threshold is and how it was set."""
    found = judge.kept.info["threshold"]
    if found["image"] is None:
        return (
            "no threshold: the run held out no normal images (protocol paper, or --holdout 0), so "
            "scores have no decisions"
        )
    return (
        f"threshold {found['image']:.6g}, set on {found['held_out_images']} normal images that were "
        f"held out of training: of new normal images at most about "
        f"{100 * found['false_alarms']:.0f} % will lie above it"
    )
