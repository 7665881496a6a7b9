"""What a published table consists of: pure data, no numbers.

A layout has methods (:class:`Method`) on one axis and what is measured (:class:`Slot`) on the other;
which of the two are the rows is one field. A method names the configuration that its published
number stands for (:class:`Reference`); a record that differs from it is shown with a footnote and
gets no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Reference:
    """The configuration of a run that a published number is compared with.

    Attributes:
        method: the method's name on the command line.
        settings: what differs from the method's defaults.
        protocol, holdout, image_size: as in ``bench run``.
        ensemble: how many seeds' scores are averaged; 0 for single runs.
    """

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    protocol: str = "paper"
    holdout: float = 0.0
    image_size: int | None = None
    ensemble: int = 0


@dataclass(frozen=True, eq=False)  # compared as an object: two columns may print the same
class Method:
    """A method as a table prints it.

    Attributes:
        name, setting: as in ``published.csv``; empty when the paper has no such column.
        head: what the table calls it.
        cite: its reference in the paper, such as ``[7]``.
        group: heading it stands under, such as an image size.
        labels: further labels (rows only), such as the ticks of an ablation.
        reference: None for a method that this project does not have.
        variants: the table's name of a metric -> what is really computed; ``unknown`` if untold.
        competes: whether it can be marked as best.
        note: a footnote.
    """

    name: str
    head: str
    cite: str = ""
    setting: str = ""
    group: str = ""
    labels: tuple[str, ...] = ()
    reference: Reference | None = None
    variants: Mapping[str, str] = field(default_factory=dict)
    competes: bool = True
    note: str = ""

    def variant(self, metric: str) -> str:
        """Return the metric's name in records."""
        return self.variants.get(metric, metric)


@dataclass(frozen=True)
class Slot:
    """A thing that is measured: one category or an average, with one metric or several.

    Attributes:
        head: what the table calls it.
        category: as in ``published.csv``.
        over: the categories it averages (one for a plain number); a number where the data set decides
            which (all ten classes of CIFAR-10).
        metrics: as the paper calls them; several are printed ``a/b``.
        dataset: its name in records.
        published: its name in ``published.csv``, where that is another.
        group: heading it stands under, such as Textures.
        decimals: of our own numbers.
        average: whether it is set apart as an average.
    """

    head: str
    category: str
    over: tuple[str, ...] | int
    metrics: tuple[str, ...]
    dataset: str = "mvtec"
    published: str = ""
    group: str = ""
    decimals: int = 1
    average: bool = False

    @property
    def published_as(self) -> str:
        """The data set's name in ``published.csv``."""
        return self.published or self.dataset


@dataclass(frozen=True)
class Layout:
    """A published table.

    Attributes:
        name: on the command line, such as ``rd4ad-2``.
        title: in our own words.
        paper, table: as in ``published.csv``.
        methods, slots: the two axes, in the order of print.
        methods_as: whether methods are the columns or the rows.
        stub: headings of the label columns.
        percent: whether metrics are printed in percent.
        best: how the paper marks its best numbers: the ``max`` of every row or column, all
            ``within 0.01`` of it (per group of methods), or the whole ``last`` entry.
        no_verdict: why no number of this table can be called reproduced; empty if it can.
        notes: sentences below the table.
    """

    name: str
    title: str
    paper: str
    table: str
    methods: tuple[Method, ...]
    slots: tuple[Slot, ...]
    methods_as: Literal["columns", "rows"] = "columns"
    stub: tuple[str, ...] = ("Category",)
    percent: bool = True
    best: Literal["max", "within 0.01", "last"] = "max"
    no_verdict: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Live:
    """A table of whatever was run."""

    name: str
    title: str
