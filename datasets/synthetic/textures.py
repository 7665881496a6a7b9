"""The synthetic textures. Each function draws one image, good or with a named defect.

All take ``dice`` and ``defect`` and return the image, float64 (SIDE, SIDE, 3) in levels 0..255
before the camera, and the mask, bool (SIDE, SIDE), empty for ``good``.
"""

from __future__ import annotations

import numpy as np

from .drawing import (
    SIDE,
    Array,
    Dice,
    Mask,
    X,
    Y,
    edge,
    flat,
    inside,
    paint,
    shade,
    spot,
    stroke,
    turned,
    walk,
)

FABRIC = ("hole", "stain", "thread", "weave")
STONE = ("crack", "filler", "scratch", "stain")
PLANK = ("burn", "dent", "knot", "scratch")


def fabric(dice: Dice, defect: str) -> tuple[Array, Mask]:
    """Plain weave of blue-grey yarn, slightly turned and warped; some yarns lighter."""
    period = 7.0
    flaw, mask = dice.aside(), np.zeros((SIDE, SIDE), dtype=bool)
    u, v = turned(dice(-0.06, 0.06))
    u = u + dice(0, 2 * period) + 1.6 * dice.field(3, 3)
    v = v + dice(0, 2 * period) + 1.6 * dice.field(3, 3)
    if defect == "weave":  # the yarns slip by part of a period
        distance = spot(flaw, inside(16), flaw(9, 14))
        slip = edge(distance, 4)
        u = u + flaw.sign() * flaw(0.35, 0.6) * period * slip
        v = v + flaw.sign() * flaw(0.2, 0.5) * period * slip
        mask = distance < 0
    warp, weft = np.sin(np.pi * u / period), np.sin(np.pi * v / period)
    over = np.clip(4 * warp * weft + 0.5, 0, 1)  # which yarn lies on top
    yarn_u = abs(warp) + 0.16 * dice.table(np.floor(u / period))
    yarn_v = 0.9 * abs(weft) + 0.16 * dice.table(np.floor(v / period))
    height = over * yarn_u + (1 - over) * yarn_v
    tint = dice(-6, 6)
    image = shade(flat((52 + tint, 68, 92 - tint)), 70 * height + 7 * dice.field(64, 64))
    if defect == "hole":
        distance = spot(flaw, inside(14), flaw(3, 6), ragged=0.7)
        image = paint(image, (30, 32, 38), 0.9 * edge(distance, 2.5))
        mask = distance < 0.5
    elif defect == "stain":
        distance = spot(flaw, inside(14), flaw(8, 15))
        image = paint(image, (96, 74, 48), flaw(0.2, 0.42) * edge(distance, 5))
        mask = distance < 0
    elif defect == "thread":
        path = walk(flaw, flaw.point(inside(30)), flaw(30, 60), 0.5)
        colour = (168.0, 150.0, 120.0) if flaw() < 0.5 else (60.0, 44.0, 50.0)
        image, mask = stroke(image, path, flaw(1.4, 2.2), colour, flaw(0.55, 0.85))
    return image, mask


def stone(dice: Dice, defect: str) -> tuple[Array, Mask]:
    """Granite: light and dark grains of several sizes in a warm grey."""
    flaw, mask = dice.aside(), np.zeros((SIDE, SIDE), dtype=bool)
    image = shade(flat((148 + dice(-5, 5), 139, 132)), 6 * dice.field(4, 4))
    for colour, size, level in (
        ((174, 150, 136), 2.6, 0.7),
        ((180, 176, 172), 2.0, 1.1),
        ((116, 110, 108), 1.7, 1.2),
        ((84, 80, 82), 1.2, 1.7),
    ):
        image = paint(image, colour, 0.6 * np.clip(3 * (dice.speckle(size) - level), 0, 1))
    if defect == "crack":
        path = walk(flaw, flaw.point(inside(30)), flaw(30, 65), 0.6, steps=16)
        image, mask = stroke(image, path, flaw(1.5, 2.6), (40, 36, 36), flaw(0.7, 0.95))
    elif defect == "filler":  # a hole filled with smooth paste of about the mean colour
        distance = spot(flaw, inside(18), flaw(9, 14))
        paste = flat((146, 137, 130)) + 6 * flaw.field(20, 20)[..., None]
        image = paint(image, paste, flaw(0.85, 1) * edge(distance, 2))
        mask = distance < 0
    elif defect == "scratch":
        path = walk(flaw, flaw.point(inside(30)), flaw(30, 60), 0.1)
        image, mask = stroke(image, path, flaw(1.3, 2.2), (222, 218, 214), flaw(0.5, 0.85))
    elif defect == "stain":
        distance = spot(flaw, inside(18), flaw(10, 17))
        image = paint(image, (106, 78, 42), flaw(0.25, 0.5) * edge(distance, 5))
        mask = distance < 0
    return image, mask


def plank(dice: Dice, defect: str) -> tuple[Array, Mask]:
    """Wood with the grain from top to bottom."""
    flaw, mask = dice.aside(), np.zeros((SIDE, SIDE), dtype=bool)
    across = X + dice(0, 200) + 7 * dice.field(2, 3) + 0.06 * dice(-1, 1) * Y
    if defect == "knot":  # the rings flow around it
        distance = spot(flaw, inside(18), flaw(4.5, 8), ragged=0.25)
        across = across + 6 * np.clip(1 - distance / 6, 0, 1) ** 2
        mask = distance < 3
    rings = across / dice(8.5, 10.5)
    year = np.floor(rings)
    late = (rings - year) ** 3 * (0.75 + 0.25 * dice.table(year))  # dark at the end of each year
    fibres = 0.5 * dice.field(6, 64) + 0.5 * dice.field(10, 110)
    image = flat((188 + dice(-6, 6), 142, 92 + dice(-5, 5)))
    image = paint(image, (126, 82, 44), np.clip(0.85 * late + 0.16 * fibres + 0.1, 0, 1))
    if defect == "knot":
        centre = np.clip(0.55 + 0.25 * np.cos(1.6 * distance), 0, 1) * edge(distance, 3)
        image = paint(image, (74, 44, 22), centre)
    elif defect == "burn":
        distance = spot(flaw, inside(16), flaw(7, 13))
        image = paint(image, (64, 40, 24), flaw(0.2, 0.45) * edge(distance, 6))
        mask = distance < 0
    elif defect == "dent":  # lit from one side: a bright and a dark flank
        x, y = flaw.point(inside(16))
        size, angle = flaw(4, 6.5), flaw(0, 2 * np.pi)
        u, v = turned(angle, x, y)
        flank = u / size * np.exp(-(u * u + v * v) / (2 * size * size))
        image = shade(image, flaw(34, 60) * flank)
        mask = np.hypot(u, v) < 1.6 * size
    elif defect == "scratch":
        path = walk(flaw, flaw.point(inside(30)), flaw(25, 55), 0.12)
        image, mask = stroke(image, path, flaw(0.9, 1.6), (222, 190, 148), flaw(0.4, 0.7))
    return image, mask
