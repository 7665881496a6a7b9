"""What a user sees while a run works: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TextIO, TypeVar

T = TypeVar("T")

PLAIN_EVERY_S = 30.0
"""Without a terminal, long work reports this often."""


def duration(seconds: float) -> str:
    """Write seconds for people.

    >>> duration(8), duration(75), duration(7300)
    ('8 s', '1 min 15 s', '2 h 01 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f} min"


class PlainConsole:
    """Lines for logs and pipes; also the Progress that detectors are lent."""

    def __init__(self) -> None:
        self._total = self._ended = self._worked = 0
        self._began = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def say(self, text: str) -> None:
        print(text, flush=True)

    def cells(self, total: int) -> None:
        """Begin to count: so many cells are to end, those of all data sets and variants."""
        self._total, self._began = total, time.perf_counter()

    def start(self, title: str) -> None:
        self._title = title

    def done(self, text: str) -> None:
        """Say how a cell ended that took its time."""
        self._worked += 1
        self._end(text)

    def kept(self, text: str) -> None:
        """Say that a cell was done before: it tells nothing about the time that others take."""
        self._end(text)

    def _end(self, text: str) -> None:
        self._ended += 1
        missing = self._total - self._ended
        note = ""
        if self._worked and missing > 0:
            spent = time.perf_counter() - self._began
            note = f" (about {duration(spent / self._worked * missing)} left)"
        self.say(f"[{self._ended}/{self._total}] {text}{note}")

    def fraction(self, title: str) -> Callable[[int, int], None]:
        """Return a callback (done, total) for work that is not a loop here; call it with rising
        counts."""
        steps: Iterator[int] | None = None

        def show(done: int, total: int) -> None:
            nonlocal steps
            if steps is None:
                steps = iter(self.track(range(total + 1), title, total))
                next(steps)
            if done > 0:
                next(steps, None)

        return show

    def track(self, items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
        began = spoke = time.perf_counter()
        for i, item in enumerate(items):
            yield item
            now = time.perf_counter()
            if now - spoke >= PLAIN_EVERY_S:
                spoke = now
                left = (
                    f", about {duration((now - began) / (i + 1) * (total - i - 1))} left"
                    if (total)
                    else ""
                )
                self.say(f"    {title}: {i + 1}/{total or '?'}{left}")


class RichConsole(PlainConsole):
    """Two bars: cells, and the work inside the current one, each with time left."""

    def __init__(self) -> None:
        super().__init__()
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            transient=True,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def cells(self, total: int) -> None:
        super().cells(total)
        self._cells = self._bars.add_task("cells", total=total)

    def start(self, title: str) -> None:
        super().start(title)
        self._bars.update(self._cells, description=title)

    def _end(self, text: str) -> None:
        super()._end(text)
        self._bars.advance(self._cells)

    def track(self, items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
        task = self._bars.add_task(f"  {title}", total=total)
        try:
            for item in items:
                yield item
                self._bars.advance(task)
        finally:
            self._bars.remove_task(task)


def open_console() -> PlainConsole:
    """Choose bars when standard output is a terminal, lines otherwise."""
    return RichConsole() if sys.stdout.isatty() else PlainConsole()


@contextmanager
def warned(kind: type[Warning], say: Callable[[str], None]) -> Iterator[list[str]]:
    """Hand every warning of a kind to ``say``; the list it yields fills with their texts."""
    told: list[str] = []
    show = warnings.showwarning

    def heard(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, kind):
            show(message, category, filename, lineno, file, line)
        elif str(message) not in told:
            told.append(str(message))
            say(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", kind)
        warnings.showwarning = heard
        yield told
