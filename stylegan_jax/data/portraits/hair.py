"""Hair of a portrait: layers behind and before the head, beard, brows."""

import math

import numpy as np

from stylegan_jax.data.portraits.people import MOUTH_Y, WHITE, Person, mix, smooth_step
from stylegan_jax.data.portraits.shapes import (
    Colour,
    Patch,
    clamp,
    egg,
    glow,
    inside,
    noise_line,
    patch,
    puffs,
)

# Style: (volume, top of the hairline, depth of its sides, doublings: the hairline is
# a parabola squared so many times less one).
_CUTS = {
    "swept": (0.065, -0.36, 0.42, 2),
    "parted": (0.055, -0.42, 0.46, 1),
    "fringe": (0.060, -0.255, 0.30, 3),
    "curly": (0.140, -0.34, 0.34, 2),
    "bun": (0.030, -0.40, 0.40, 2),
    "bald": (0.006, -0.40, 0.38, 2),
}
# Strands round the head -> how much they vary in brightness.
_STRANDS = {24: 0.95, 48: 1.1, 96: 1.1, 192: 1.0, 384: 0.85, 768: 0.7}
_FINEST_STRANDS = 768


class Hair:
    """Shape and strands of a head of hair, shared by its layers."""

    def __init__(self, person: Person, rng: np.random.Generator) -> None:
        """Computes the fields `[R, R]`."""
        self.person = person
        head, style = person.head, person.traits.hair_style
        self.resolution = head.x.shape[0]
        self.volume, self.top, self.depth, self.doublings = _CUTS[style]
        self.shift = -0.05 * person.traits.pose  # the back of the head turns away
        self.side = math.copysign(1, person.traits.light)  # to which hair is combed
        self.strands, self.radius = self._strands(rng)
        self.outer = self._outer_distance()
        self.cover = inside(self.outer, 2 / self.resolution)
        self.colour = person.hair

    def _strands(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Brightness of the strands in about [-1, 1], and distance from the crown."""
        style, resolution = self.person.traits.hair_style, self.resolution
        values = 2 * rng.random(2 * _FINEST_STRANDS, dtype=np.float32) - 1
        x, y = self.person.head.x - self.shift, self.person.head.y + 0.56
        if style == "swept":
            x = x + 0.16 * self.side
        radius = np.sqrt(x * x + y * y)
        if style == "curly":
            shifts = 0.25 * values[:512].reshape(2, 16, 16)
            near = puffs(0.8 * x + 0.6 * y, 0.8 * y - 0.6 * x, 0.105, shifts)
            return 1.0 - 3.0 * near, radius
        octaves = []
        for knots, weight in _STRANDS.items():
            # Strands finer than about three pixels would alias: they fade out.
            weight *= min(max(2.5 - knots / (0.4 * resolution), 0.0), 1.0)
            if weight:
                octaves.append(weight * values[knots : 2 * knots])
        samples = 6 * resolution
        line = noise_line(octaves, samples)
        place = np.arctan2(x, y) * (samples / (2 * np.pi)) + samples / 2
        strands = line[place.astype(np.int32) % samples]
        return strands * np.minimum(4 * radius, 1), radius  # they meet at the crown

    def _outer_distance(self) -> np.ndarray:
        """Signed distance to the silhouette of all the hair."""
        person = self.person
        x, y = person.head.x - self.shift, person.head.y
        style, end = person.traits.hair_style, person.hair_end
        if style == "bald":
            return person.head_distance(person.head.x, y)
        rx, ry = person.radii[0] + 0.8 * self.volume + 0.01, person.radii[1]
        if style == "curly":
            top, bottom = -ry - self.volume, min(max(end, 0.05), 0.6)
            middle, half = 0.5 * (top + bottom), 0.5 * (bottom - top)
            puff = egg(x, y - middle, (rx, half), square=0.3)
            return puff - 0.02 * self.strands
        # A cap that hugs the head when the hair is short, and straight sides below.
        short = 1 - smooth_step(end, 0.0, 0.35)
        cap = egg(x, y + 0.02, (rx, ry + self.volume), square=0.1)
        low = np.maximum(y + 0.35, 0)
        cap += (0.65 * short) * low * low
        wide = rx - 0.06 * short + (0.06 * end) * np.maximum(y, 0)
        ax = np.abs(x)
        sides = np.maximum(ax - wide, -0.05 - y)
        share = ax / wide
        share *= share
        lowest = end - (0.14 * (1 - short)) * share * share + 0.015 * self.strands
        # Ragged ends are steep, so half of the height is nearer the distance.
        distance = np.maximum(np.minimum(cap, sides), 0.5 * (y - lowest))
        if style == "bun":
            distance = np.minimum(distance, egg(x, y + 0.70, (0.2, 0.17)))
        return distance

    def _hairline(self, at: tuple[slice, slice]) -> np.ndarray:
        """Signed distance to the face's opening, in face coordinates."""
        style, gone = self.person.traits.hair_style, self.person.hair_gone
        x, y = self.person.face.x[at], self.person.face.y[at]
        u = np.abs(x) * (1 / 0.415)
        rise = u
        for _ in range(self.doublings):
            rise = rise * rise
        line = self.depth * rise + (self.top - 0.14 * gone)
        if style == "swept":
            line += (0.16 * self.side) * x
        elif style == "fringe":
            line += 0.022 * self.strands[at]
        if gone:  # the temples first
            line -= (0.16 * gone) * glow(np.abs(x) - 0.22, y + 0.4, (0.16, 0.4))
        slope = (self.depth * 2**self.doublings / 0.415) * rise / (u + 0.01)
        return (line - y) / np.sqrt(1 + slope * slope)

    def _patch(self, planes: np.ndarray) -> Patch:
        bottom = max(self.person.hair_end, 0.35) + 0.1
        return patch(planes, self.person.head, (-0.8, -0.98, 0.8, bottom))

    def _paint(self, p: Patch, coverage: np.ndarray, colour: Colour) -> None:
        p.paint(coverage, colour)
        strands = self.strands[p.at]
        light, dark = clamp(0.22 * strands, 0, 0.5), clamp(-0.35 * strands, 0, 0.6)
        p.paint(coverage * light, mix(colour, WHITE, 0.35))
        p.paint(coverage * dark, 0.5 * colour)

    def paint_back(self, planes: np.ndarray) -> None:
        """Paints the layer behind neck and head."""
        if self.person.traits.hair_style != "bald":
            p = self._patch(planes)
            self._paint(p, self.cover[p.at], 0.6 * self.colour)

    def paint_front(self, planes: np.ndarray) -> np.ndarray:
        """Paints hair over the face and ears; returns its coverage `[R, R]`."""
        p = self._patch(planes)
        front = np.zeros_like(self.cover)
        coverage = self.cover[p.at] * (1 - p.inside(self._hairline(p.at)))
        front[p.at] = coverage
        style = self.person.traits.hair_style
        if style == "bald":
            p.paint(coverage, self.colour, 0.35 * (1 - 0.8 * self.person.hair_gone))
            return front
        self._paint(p, coverage, self.colour)
        sheen = (self.radius[p.at] - 0.27 - 0.03 * self.strands[p.at]) * (1 / 0.07)
        band = np.maximum(1 - sheen * sheen, 0)
        opacity = 0.1 if style == "curly" else 0.35
        p.paint(coverage * band, mix(self.colour, WHITE, 0.5), opacity)
        rim = clamp(1 + self.outer[p.at] * (1 / 0.12))
        p.paint(coverage * rim * rim, 0.5 * self.colour, 0.4)
        return front

    def paint_beard(self, planes: np.ndarray, head: np.ndarray) -> np.ndarray:
        """Paints the beard; returns the coverage `[R, R]` of head and beard."""
        person = self.person
        amount = person.traits.facial_hair * smooth_step(person.traits.gender, 0.0, 0.4)
        if amount <= 0:
            return head
        p = patch(planes, person.head, (-0.6, -0.1, 0.6, 0.72))
        x, y = person.face.x[p.at], person.face.y[p.at]
        full = smooth_step(amount, 0.35, 0.7)
        u = np.abs(x) * (1 / 0.42)
        beard = clamp(14 * (y - 0.30 + 0.36 * u * u * u))
        beard *= 1 - p.lens(x, y - MOUTH_Y - 0.01, 0.17, 0.045, 0.075)
        moustache = p.lens(x, y - MOUTH_Y + 0.04, 0.17, 0.035, 0.012)
        beard = np.maximum(beard, moustache)
        colour = 0.85 * self.colour
        p.paint(beard, colour, 0.3 * (1 - full) * min(3 * amount, 1))
        if not full:
            return head
        self._paint(p, 0.94 * full * beard, colour)
        grown = head.copy()
        fluff = 0.03 * full * clamp(4 * p.y)
        grown[p.at] = p.inside(person.head_distance(p.x, p.y) - fluff)
        return grown

    def paint_brows(self, planes: np.ndarray) -> None:
        """Paints both eyebrows."""
        person = self.person
        p = patch(planes, person.face, (-0.37, -0.29, 0.37, -0.13))
        x, y = np.abs(p.x) - 0.205, p.y + 0.205 - 0.01 * person.manly
        thick = 0.034 + 0.022 * person.manly + 0.008 * person.traits.brow_weight
        bow = 0.035 - 0.018 * person.manly
        brow = p.arc(x, y, 0.135, bow, thick, tilt=0.010)
        p.paint(brow, mix(0.62 * self.colour, person.shadow, 0.12), 0.92)
