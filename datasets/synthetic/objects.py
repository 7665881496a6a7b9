"""The synthetic objects. Each function draws one image, good or with a named defect.

They take and return what the textures do; see ``_textures``.
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
    box,
    edge,
    flat,
    paint,
    shade,
    spot,
    stroke,
    turned,
    walk,
)

WASHER = ("bite", "hole_missing", "rust", "scratch")
TABLET = ("chip", "discoloured", "score_shifted", "specks")
BOARD = ("bridge", "missing", "shifted", "swapped")


def washer(dice: Dice, defect: str) -> tuple[Array, Mask]:
    """Draw a brushed metal ring with eight holes, roughly aligned, on a dark table."""
    flaw, mask = dice.aside(), np.zeros((SIDE, SIDE), dtype=bool)
    x, y = SIDE / 2 + dice(-2.5, 2.5), SIDE / 2 + dice(-2.5, 2.5)
    u, v = turned(dice(-0.12, 0.12), x, y)
    radius, outer, inner = np.hypot(u, v), 47 + dice(-1, 1), 17 + dice(-0.5, 0.5)
    ring = np.maximum(radius - outer, inner - radius)
    missing = flaw.index(8) if defect == "hole_missing" else -1
    for number in range(8):
        a = 2 * np.pi * number / 8
        hole = 4.2 - np.hypot(u - 33 * np.cos(a), v - 33 * np.sin(a))
        if number == missing:
            mask = hole > -0.5
        else:
            ring = np.maximum(ring, hole)
    if defect == "bite":
        a = flaw(0, 2 * np.pi)
        place = np.hypot(u - outer * np.cos(a), v - outer * np.sin(a)) < 1.5
        bite = spot(flaw, place, flaw(4, 7.5))
        mask = (bite < 1) & (ring < 0)
        ring = np.maximum(ring, -bite)
    metal = ring < -1
    angle = np.arctan2(Y - y, X - x)
    gloss = 26 * np.cos(2 * angle - dice(0, 0.7)) + 10 * np.cos(3 * angle + dice(0, 6))
    brushed = 6 * dice.table(np.floor(radius * 1.5)) + 4 * dice.table(np.floor(radius * 3))
    face = shade(flat((158, 160, 164)), gloss + brushed)
    if defect == "rust":
        distance = spot(flaw, metal, flaw(6, 11))
        face = paint(face, (150, 92, 52), flaw(0.25, 0.55) * edge(distance, 4))
        mask = (distance < 0) & (ring < 0)
    elif defect == "scratch":
        plain = face
        while mask.sum() < 25:  # most of it may lie beside the ring
            path = walk(flaw, flaw.point(metal), flaw(16, 34), 0.15)
            face, mask = stroke(plain, path, flaw(1.1, 1.9), (244, 246, 248), flaw(0.5, 0.9))
            mask &= ring < 0
    table = shade(flat((38, 42, 50)), 5 * dice.field(12, 12))
    shadow = np.hypot(X - x - 3, Y - y - 4) - outer
    table = paint(table, (18, 20, 26), 0.6 * edge(shadow, 8))
    rim = 40 * np.exp(-((ring + 1.2) ** 2))  # the bevel catches light
    return paint(table, shade(face, rim), edge(ring)), mask


def tablet(dice: Dice, defect: str) -> tuple[Array, Mask]:
    """Draw a round, speckled tablet with a score line, on a light tray."""
    flaw, mask = dice.aside(), np.zeros((SIDE, SIDE), dtype=bool)
    x, y = SIDE / 2 + dice(-5, 5), SIDE / 2 + dice(-5, 5)
    u, v = turned(dice(-0.25, 0.25), x, y)
    size = 43 + dice(-1, 1)
    body = np.hypot(u, v) - size
    whole = body
    if defect == "chip":
        a = flaw(0, 2 * np.pi)
        chip = spot(flaw, np.hypot(u - size * np.cos(a), v - size * np.sin(a)) < 2, flaw(4, 7.5))
        mask = (chip < 0) & (whole < 0)
        body = np.maximum(body, -chip)
    face = shade(flat((226, 208 + dice(-4, 4), 160 + dice(-8, 8))), 4 * dice.field(30, 30))
    if defect == "discoloured":
        distance = spot(flaw, np.hypot(u, v) < 26, flaw(9, 15))
        face = paint(face, (206, 158, 96), flaw(0.18, 0.42) * edge(distance, 8))
        mask = distance < 0
    for _ in range(14 + dice.index(8)):  # natural speckles
        px, py = dice.point(whole < -3)
        face = paint(face, (190, 146, 96), dice(0.3, 0.6) * edge(np.hypot(X - px, Y - py) - 1.2))
    line_v = v
    if defect == "score_shifted":
        line_v = v - flaw.sign() * flaw(4, 10)
        mask = np.minimum(_groove(u, v, size), _groove(u, line_v, size)) < 0.5
    lip = edge(_groove(u, line_v - 2.4, size) + 0.6)
    face = shade(face, 26 * lip - 52 * edge(_groove(u, line_v, size), 2))
    if defect == "specks":
        for _ in range(1 + flaw.index(3)):
            distance = spot(flaw, np.hypot(u, v) < 36, flaw(1.3, 2.4))
            face = paint(face, (72, 62, 58), flaw(0.55, 0.9) * edge(distance))
            mask |= distance < 0.5
    face = shade(face, -46 * np.exp(body / 4) - 0.25 * (X - x) - 0.2 * (Y - y))
    tray = shade(flat((172, 178, 184)), 3 * dice.field(16, 16))
    tray = paint(tray, (112, 116, 124), 0.6 * edge(np.hypot(X - x - 3, Y - y - 4) - size, 9))
    return paint(tray, face, edge(body, 1.5)), mask


def _groove(u: Array, v: Array, size: float) -> Array:
    """Signed distance to the score line of a tablet."""
    return box(u, v, 1.7 * size, 2.6)


# centre, width, height, colour, whether it has pins; on a canvas that is about to be turned
_PARTS = (
    ((-22.0, -16.0), 34.0, 30.0, (40.0, 40.0, 44.0), True),
    ((26.0, -32.0), 18.0, 8.0, (58.0, 66.0, 120.0), False),
    ((26.0, -18.0), 18.0, 8.0, (196.0, 168.0, 120.0), False),
    ((26.0, -4.0), 18.0, 8.0, (196.0, 168.0, 120.0), False),
    ((30.0, 26.0), 22.0, 22.0, (150.0, 152.0, 158.0), False),
    ((-38.0, 26.0), 10.0, 18.0, (176.0, 120.0, 70.0), False),
    ((-22.0, 26.0), 10.0, 18.0, (176.0, 120.0, 70.0), False),
    ((-4.0, 26.0), 9.0, 9.0, (214.0, 60.0, 52.0), False),
)


def board(dice: Dice, defect: str) -> tuple[Array, Mask]:
    """Draw a circuit board: always the same parts in the same places, give or take half a pixel."""
    flaw, mask = dice.aside(), np.zeros((SIDE, SIDE), dtype=bool)
    u, v = turned(dice(-0.04, 0.04), SIDE / 2 + dice(-3, 3), SIDE / 2 + dice(-3, 3))
    image = shade(flat((36, 96 + dice(-5, 5), 62)), 4 * dice.field(20, 20) + 2 * dice.field(60, 60))
    for lane in (-52.0, -46.0, 8.0, 13.0, 44.0, 50.0):  # traces
        image = paint(image, (64, 136, 88), 0.7 * edge(box(u, v - lane, 116, 2)))
        image = paint(image, (64, 136, 88), 0.5 * edge(box(u - lane, v, 2, 116)))
    chosen = flaw.index(len(_PARTS)) if defect in ("missing", "shifted") else -1
    if defect == "swapped":
        chosen = 1 + flaw.index(3)
    for number, ((px, py), width, height, colour, pins) in enumerate(_PARTS):
        pu, pv = u - px - dice(-0.5, 0.5), v - py - dice(-0.5, 0.5)
        tint = dice(-6, 6)
        wide = 5 if width >= height else -3  # solder shows at the two short ends
        solder = box(pu, pv, width + wide, height + 2 - wide)
        if pins:
            legs = np.maximum(box(pu, pv, width + 9, height - 2), 1.2 - abs(np.mod(pv, 5) - 2.5))
            image = paint(image, (196, 200, 204), edge(legs))
        else:
            image = paint(image, (190, 194, 198), edge(solder))
        body = box(pu, pv, width, height)
        if number == chosen and defect == "missing":
            mask = body < 0.5
            image = paint(image, (30, 84, 54), edge(box(pu, pv, width - 2, height - 2)))
            continue
        if number == chosen and defect == "shifted":
            angle, away, a = flaw.sign() * flaw(0.08, 0.3), flaw(2, 4.5), flaw(0, 2 * np.pi)
            su, sv = pu - away * np.cos(a), pv - away * np.sin(a)
            pu = su * np.cos(angle) + sv * np.sin(angle)
            pv = sv * np.cos(angle) - su * np.sin(angle)
            moved = box(pu, pv, width, height)
            mask = (body < 0.5) | (moved < 0.5)
            body = moved
        if number == chosen and defect == "swapped":
            colour = (58.0, 66.0, 120.0) if number > 1 else (196.0, 168.0, 120.0)
            mask = body < 0.5
        shadow = box(pu - 1.5, pv - 1.5, width, height)
        image = paint(image, (14, 34, 24), 0.5 * edge(shadow, 3))
        top = shade(flat(colour), tint + 12 * np.clip(body + 3, 0, 2) - 0.3 * pv)
        if number == 7:  # the lamp is a dome
            top = shade(top, 60 * np.exp(-((pu + 1.5) ** 2 + (pv + 1.5) ** 2) / 4))
        if pins:  # the mark at the first pin
            top = paint(top, (120, 120, 124), edge(np.hypot(pu + 12, pv + 10) - 1.8))
        image = paint(image, top, edge(body))
    if defect == "bridge":  # solder from one leg to the next
        leg_u, leg_v = flaw.sign() * 19.25 - 22, 5.0 * (flaw.index(4) - 2) - 16
        bridge = np.hypot(u - leg_u, v - np.clip(v, leg_v, leg_v + 5)) - flaw(1.2, 2.0)
        image = paint(image, (206, 210, 214), edge(bridge))
        mask = bridge < 0.5
    return image, mask
