"""A finished table, before it is Markdown, LaTeX, CSV or HTML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

DASH = "–"


@dataclass(frozen=True)
class Part:
    """One of the numbers at a place of a table (``97.5/92.1`` has two); ``best`` is set in bold."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Text:
    r"""The text at one place of a table.

    Attributes:
        parts: joined by a slash.
        notes: texts of its footnotes.
        span: columns it covers (headings only).
        cite: key of a citation, for LaTeX's ``\cite``.
        full: the text where there is no legend that explains a short one: in CSV.
        tied: whether its column stays beside the one before it (headings only).
    """

    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    span: int = 1
    cite: str = ""
    full: str = ""
    tied: bool = False

    @property
    def text(self) -> str:
        return "/".join(part.text for part in self.parts)


def words(text: str, notes: Iterable[str] = (), *, span: int = 1, best: bool = False) -> Text:
    """Make a text with one part."""
    return Text((Part(text, best),), tuple(notes), span)


@dataclass(frozen=True)
class Row:
    """A line of the body; a ``group`` has one text, a heading over the lines that follow."""

    texts: tuple[Text, ...]
    kind: Literal["row", "average", "group"] = "row"


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        title: its caption.
        head: one or two heading lines; the last has one text per column.
        rows: the body.
        notes: sentences below the table.
        stub: how many columns at the left hold labels.
        above: sentences between title and table: what all its columns (or rows) have in common.
        legend: sentences on what short names stand for; above the notes.
    """

    title: str
    head: Sequence[Sequence[Text]]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    stub: int = 1
    above: Sequence[str] = ()
    legend: Sequence[str] = ()

    @property
    def width(self) -> int:
        return len(self.head[-1])


@dataclass
class Footnotes:
    """Letters for footnote texts, in the order in which they are met; equal texts share one."""

    texts: list[str] = field(default_factory=list)

    def marks(self, given: Text) -> str:
        """Return the letters of a text, such as ``a,c``."""
        for note in given.notes:
            if note not in self.texts:
                self.texts.append(note)
        return ",".join(_letter(self.texts.index(note)) for note in given.notes)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((_letter(i), text) for i, text in enumerate(self.texts))


def _letter(index: int) -> str:
    """Write the mark of a footnote.

    >>> _letter(0), _letter(25), _letter(26)
    ('a', 'z', 'aa')
    """
    head, tail = divmod(index, 26)
    return (_letter(head - 1) if head else "") + chr(ord("a") + tail)
