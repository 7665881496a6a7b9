"""Metrics of image scores whose images come in groups: frames in clips, views of parts."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.curves import auroc
from benchmark.metrics.scored import ScoredImages, ranked


def auroc_per_group(s: ScoredImages) -> float | None:
    """Average over the groups each one's own AUROC; a group of one kind of image has none and is
    left out. Scores are taken as they are, never rescaled per group.

    >>> scores, labels = np.array([0.1, 0.4, 0.3, 0.2]), np.array([0, 1, 0, 0], bool)
    >>> images = ScoredImages(scores, labels, groups=np.array(["a", "a", "b", "b"]))
    >>> auroc_per_group(images), group_auroc(images)
    (1.0, 1.0)
    """
    each = [ranked(auroc)(s.part(part)) for part in _parts(s)]
    known = [area for area in each if area is not None]
    return float(np.mean(known)) if known else None


def group_auroc(s: ScoredImages) -> float | None:
    """Compute the AUROC of the groups: each scores as its highest image, and one anomalous image
    makes it anomalous."""
    parts = list(_parts(s))
    top = np.array([s.scores[part].max() for part in parts])
    hit = np.array([s.labels[part].any() for part in parts], bool)
    return ranked(auroc)(ScoredImages(top, hit))


def _parts(s: ScoredImages) -> Iterator[NDArray[Any]]:
    """Yield the positions of each group's images."""
    if s.groups is None or not len(s.groups):
        return
    _, place, sizes = np.unique(s.groups, return_inverse=True, return_counts=True)
    yield from np.split(np.argsort(place, kind="stable"), np.cumsum(sizes)[:-1])
