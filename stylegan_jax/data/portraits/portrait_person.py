"""Geometry and colours of a portrait that several of its parts share."""

from dataclasses import dataclass

import numpy as np

from stylegan_jax.data.portraits.portrait_attributes import PortraitAttributes
from stylegan_jax.data.portraits.portrait_shapes import (
    Colour,
    Frame,
    egg,
    plain_frame,
    rolled_frame,
    turned_frame,
)

EYE_X, EYE_Y, MOUTH_Y = 0.2, -0.05, 0.365
MAX_TURN = 0.36  # radians of yaw at pose 1


def palette(*hexes: str) -> np.ndarray:
    """Colours `[K, 3]` from their hexadecimal RGB."""
    rows = [[int(h[i : i + 2], 16) / 255 for i in (0, 2, 4)] for h in hexes]
    return np.array(rows, np.float32)


SKIN = palette(
    "ffe0c6", "f8cfae", "edbb94", "d9a077", "bd8257", "9b6543", "774a33", "5a3828"
)
HAIR = palette("2a2428", "452e26", "6b4530", "8c4a30", "b8662f", "c99a58", "ecca86")
EYES = palette("452c1c", "6e4424", "8a6a34", "5a8250", "4a7fae", "7d93a3")
WHITE, BLACK, GREY = palette("ffffff", "1c1618", "d2d2d6")
BLUSH, MOUTH, TONGUE, LIP = palette("e0604f", "5a1c22", "c75a5c", "b8443f")
EYE_WHITE, GLASS = palette("fbf8f4", "bcd8ea")
FRAMES = palette("2b2730", "7a3b2a", "30405c", "9a7a3c")


def along(palette: np.ndarray, place: float) -> Colour:
    """Colour at `place` in 0..1 along a palette."""
    position = place * (len(palette) - 1)
    i = min(int(position), len(palette) - 2)
    return mix(palette[i], palette[i + 1], position - i)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` of the second colour, the rest of the first."""
    return first + share * (second - first)


def smooth_step(value: float, low: float, high: float) -> float:
    """Smooth step of a scalar: 0 below `low`, 1 above `high`."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True, kw_only=True)
class Person:
    """Geometry and colours that several parts share, derived from the attributes."""

    traits: PortraitAttributes
    picture: Frame
    head: Frame
    face: Frame
    manly: float  # 0 feminine .. 1 masculine
    radii: tuple[float, float]  # of the head
    skin: Colour
    shadow: Colour  # of the skin
    hair: Colour
    hair_end: float  # y where side and back hair ends
    hair_gone: float  # 0 .. 1, receding


def make_person(traits: PortraitAttributes, resolution: int) -> Person:
    """Works out what the parts share."""
    manly = 0.5 + 0.5 * traits.gender
    picture = plain_frame(resolution)
    head = rolled_frame(picture, (-0.085 * traits.pose, 0.02), 0.07 * traits.roll)
    turn = MAX_TURN * traits.pose
    face = turned_frame(head, turn, 0.52, 0.025 * traits.pitch)
    skin = along(SKIN, traits.skin_tone)
    shadow = skin * np.array([0.80, 0.66, 0.62], np.float32)
    grey = smooth_step(traits.age, 0.35, 0.9)
    length = 0.62 + 0.5 * traits.hair_length - 0.85 * manly
    if traits.hair_style in ("bun", "bald"):
        length = 0.0
    return Person(
        traits=traits,
        picture=picture,
        head=head,
        face=face,
        manly=manly,
        radii=(0.435 + 0.02 * traits.face_width + 0.02 * manly, 0.615),
        skin=skin,
        shadow=shadow,
        hair=mix(along(HAIR, traits.hair_colour), GREY, 0.9 * grey),
        hair_end=-0.06 + 0.95 * max(length, 0.0),
        hair_gone=smooth_step(traits.age, 0.3, 0.95) * manly,
    )


def head_distance(person: Person, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distance to the head's outline, in head coordinates."""
    rx, ry = person.radii
    lean = 0.1 * person.traits.pose
    x = x - lean * np.maximum(y, 0)
    age = person.traits.age
    taper = 0.34 - 0.22 * person.manly - 0.06 * age
    square = 0.12 + 0.33 * person.manly + 0.1 * age
    return egg(x, y, (rx, ry), taper=taper, square=square)
