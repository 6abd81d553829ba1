"""Attributes, geometry and colours of drawn people."""

import dataclasses
from colorsys import hsv_to_rgb as hsv

import numpy as np

from stylegan_jax.data.portraits.shapes import (
    Colour,
    Frame,
    egg,
    pixel_centres,
    rolled_frame,
    turned_frame,
)
from stylegan_jax.errors import UserError

HAIR_STYLES = ("swept", "parted", "fringe", "curly", "bun", "bald")
GLASSES_STYLES = ("round", "square", "oval")
NECKLINES = ("crew", "vee", "collar", "turtleneck")

# Number of classes by label.
LABEL_SIZES = {"hair_style": len(HAIR_STYLES), "pose": 2, "smile": 2}
LABEL_SIZES |= {"eyeglasses": 2, "age": 2, "gender": 2}

_CHOICES = {"hair_style": HAIR_STYLES, "glasses_style": GLASSES_STYLES}
_CHOICES["neckline"] = NECKLINES
_SIGNED = {"pose", "smile", "gender", "face_width", "eye_size", "nose_size"}
_SIGNED |= {"lip_fullness", "brow_weight", "light", "pitch", "roll"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PortraitAttributes:
    """All attributes of a person; fine random detail is drawn separately."""

    pose: float = 0.0  # yaw, -1 (looks to the picture's left) .. 1 (right)
    smile: float = 0.0  # -1 (mouth turned down) .. 1 (laughing, teeth)
    eyeglasses: bool = False
    age: float = 0.3  # 0 (about 18 years) .. 1 (about 80)
    gender: float = -0.7  # -1 (feminine) .. 1 (masculine)
    hair_style: str = "swept"  # one of HAIR_STYLES
    hair_length: float = 0.5  # 0..1 within what is usual for the gender
    hair_colour: float = 0.3  # 0 black, brown, auburn, ginger, 1 blond
    facial_hair: float = 0.0  # 0 shaved, stubble, 1 full beard; masculine faces only
    skin_tone: float = 0.3  # 0 (light) .. 1 (dark)
    eye_colour: float = 0.2  # 0 dark brown, hazel, green, blue, 1 grey
    freckles: float = 0.0  # 0..1
    glasses_style: str = "round"  # one of GLASSES_STYLES
    frame_colour: float = 0.0  # of the glasses: 0 dark, red-brown, blue, 1 gold
    neckline: str = "crew"  # one of NECKLINES
    face_width: float = 0.0  # -1..1, as are the next four
    eye_size: float = 0.0
    nose_size: float = 0.0
    lip_fullness: float = 0.0
    brow_weight: float = 0.0
    light: float = -0.8  # where light comes from: -1 left .. 1 right
    pitch: float = 0.0  # -1 (up) .. 1 (down); small, unlabelled
    roll: float = 0.0  # -1..1; small, unlabelled
    clothes: tuple[float, float, float] = (0.25, 0.35, 0.5)  # RGB in 0..1
    background_top: tuple[float, float, float] = (0.75, 0.85, 0.9)
    background_bottom: tuple[float, float, float] = (0.55, 0.65, 0.8)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            name, value = field.name, getattr(self, field.name)
            low = -1 if name in _SIGNED else 0
            if field.type is float and not low <= value <= 1:
                raise UserError(f"{name} is {value}, but must lie in [{low}, 1]")
            if value not in (known := _CHOICES.get(name, [value])):
                raise UserError(f"{name} {value!r} is unknown; choose one of {known}")


def attributes(index: int, *, seed: int = 0) -> PortraitAttributes:
    """The person at `index`, a pure function of `(seed, index)`; fields independent."""
    rng = np.random.default_rng([seed, index])
    u = rng.random(41).tolist()
    left, manly = u[25] < 0.5, u[26] < 0.5
    jitter = [a + b - 1 for a, b in zip(u[27:34], u[34:41], strict=True)]
    hue, near = u[0], (u[0] + 0.22 * (u[1] - 0.5)) % 1
    return PortraitAttributes(
        pose=2 * u[2] - 1,
        smile=2 * u[3] ** 0.6 - 1,
        eyeglasses=u[4] < 1 / 3,
        age=u[5] ** 1.25,
        gender=(1 if manly else -1) * (0.35 + 0.65 * u[6]),
        hair_style=_choose(HAIR_STYLES, (0.24, 0.2, 0.18, 0.2, 0.11, 0.07), u[7]),
        hair_length=u[8],
        hair_colour=u[9],
        facial_hair=max(0.0, 2 * u[10] - 1),
        skin_tone=u[11],
        eye_colour=u[12],
        freckles=max(0.0, (u[13] - 0.75) * 4),
        glasses_style=_choose(GLASSES_STYLES, (0.35, 0.35, 0.3), u[14]),
        frame_colour=u[24],
        neckline=_choose(NECKLINES, (0.35, 0.2, 0.25, 0.2), u[15]),
        face_width=jitter[0],
        eye_size=jitter[1],
        nose_size=jitter[2],
        lip_fullness=jitter[3],
        brow_weight=jitter[4],
        light=(-1 if left else 1) * (0.5 + 0.5 * u[16]),
        pitch=jitter[5],
        roll=jitter[6],
        clothes=hsv(u[17], 0.15 + 0.5 * u[18], 0.25 + 0.6 * u[19]),
        background_top=hsv(hue, 0.08 + 0.22 * u[20], 0.86 + 0.12 * u[21]),
        background_bottom=hsv(near, 0.18 + 0.27 * u[22], 0.6 + 0.28 * u[23]),
    )


def _choose(names: tuple[str, ...], shares: tuple[float, ...], u: float) -> str:
    for name, share in zip(names, shares, strict=True):
        if u < share:
            return name
        u -= share
    return names[-1]


def label_class(attributes: PortraitAttributes, label: str) -> int:
    """Class of a person under one of `LABEL_SIZES`."""
    value = getattr(attributes, label)
    if label == "hair_style":
        return HAIR_STYLES.index(value)
    threshold = 0.5 if label in ("age", "eyeglasses") else 0.0
    return int(value >= threshold)


MOUTH_Y = 0.365
MAX_TURN = 0.36  # radians of yaw at pose 1


def palette(*hexes: str) -> np.ndarray:
    """Colours `[K, 3]` from hexadecimal RGB."""
    rows = [[int(h[i : i + 2], 16) / 255 for i in (0, 2, 4)] for h in hexes]
    return np.array(rows, np.float32)


SKIN = palette(
    "ffe0c6", "f8cfae", "edbb94", "d9a077", "bd8257", "9b6543", "774a33", "5a3828"
)
HAIR = palette("2a2428", "452e26", "6b4530", "8c4a30", "b8662f", "c99a58", "ecca86")
WHITE, BLACK, GREY = palette("ffffff", "1c1618", "d2d2d6")


def along(palette: np.ndarray, place: float) -> Colour:
    """Interpolated colour at `place` in [0, 1] of a palette."""
    position = place * (len(palette) - 1)
    i = min(int(position), len(palette) - 2)
    return mix(palette[i], palette[i + 1], position - i)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Linear mix with `share` of the second colour."""
    return first + share * (second - first)


def smooth_step(value: float, low: float, high: float) -> float:
    """Smooth step of a scalar from 0 at `low` to 1 at `high`."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


class Person:
    """Geometry and colours shared by several parts."""

    def __init__(self, traits: PortraitAttributes, resolution: int) -> None:
        """Places a person in pictures of a resolution."""
        self.traits = traits
        self.manly = 0.5 + 0.5 * traits.gender  # 0 feminine .. 1 masculine
        self.picture = Frame(*pixel_centres(resolution))
        centre = (-0.085 * traits.pose, 0.02)
        self.head = rolled_frame(self.picture, centre, 0.07 * traits.roll)
        turn = MAX_TURN * traits.pose
        self.face = turned_frame(self.head, turn, 0.52, 0.025 * traits.pitch)
        self.radii = (0.435 + 0.02 * traits.face_width + 0.02 * self.manly, 0.615)
        self.skin = along(SKIN, traits.skin_tone)
        self.shadow = self.skin * np.array([0.80, 0.66, 0.62], np.float32)
        grey = smooth_step(traits.age, 0.35, 0.9)
        self.hair = mix(along(HAIR, traits.hair_colour), GREY, 0.9 * grey)
        length = 0.62 + 0.5 * traits.hair_length - 0.85 * self.manly
        if traits.hair_style in ("bun", "bald"):
            length = 0.0
        self.hair_end = -0.06 + 0.95 * max(length, 0.0)  # y of side and back hair
        # 0 .. 1, receding
        self.hair_gone = smooth_step(traits.age, 0.3, 0.95) * self.manly

    def head_distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Signed distance to the head's outline, in head coordinates."""
        age, lean = self.traits.age, 0.1 * self.traits.pose
        x = x - lean * np.maximum(y, 0)
        taper = 0.34 - 0.22 * self.manly - 0.06 * age
        square = 0.12 + 0.33 * self.manly + 0.1 * age
        return egg(x, y, self.radii, taper=taper, square=square)
