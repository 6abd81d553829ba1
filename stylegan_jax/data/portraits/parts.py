"""Parts of a portrait, painted from back to front.

Frames (see `shapes`): picture, head (shifted, rolled), and face, which wraps round
the head and turns with the pose. Face coordinates, from the front: eyes at (+-0.2,
-0.05), mouth at (0, 0.365), chin at y = 0.6. Paired parts use |x|.
"""

import math

import numpy as np

from stylegan_jax.data.portraits.hair import Hair
from stylegan_jax.data.portraits.people import (
    BLACK,
    MOUTH_Y,
    WHITE,
    Person,
    PortraitAttributes,
    along,
    mix,
    palette,
    smooth_step,
)
from stylegan_jax.data.portraits.shapes import (
    clamp,
    egg,
    glow,
    inside,
    noise_plane,
    patch,
    pixel_centres,
)

EYE_X, EYE_Y = 0.2, -0.05
EYES = palette("452c1c", "6e4424", "8a6a34", "5a8250", "4a7fae", "7d93a3")
BLUSH, MOUTH, TONGUE, LIP = palette("e0604f", "5a1c22", "c75a5c", "b8443f")
EYE_WHITE, GLASS = palette("fbf8f4", "bcd8ea")
FRAMES = palette("2b2730", "7a3b2a", "30405c", "9a7a3c")
_MAX_FRECKLES = 36


def paint_portrait(
    traits: PortraitAttributes, resolution: int, rng: np.random.Generator
) -> np.ndarray:
    """Paints all parts; float32 `[3, R, R]` in about [0, 1]."""
    person = Person(traits, resolution)
    head = inside(person.head_distance(*person.head[:2]), 2 / resolution)
    hair = Hair(person, rng)
    planes = _background(traits, resolution)
    hair.paint_back(planes)
    _body(planes, person)
    for side in (-1, 1):
        _ear(planes, person, side, 1.0)
    # The face is painted beyond the head's outline and then cut out along it.
    behind = planes.copy()
    _skin(planes, person)
    _cheeks(planes, person)
    _wrinkles(planes, person)
    _freckles(planes, person, rng)
    cut = hair.paint_beard(planes, head)
    _nose(planes, person)
    _mouth(planes, person)
    _eyes(planes, person)
    hair.paint_brows(planes)
    planes -= behind
    planes *= cut
    planes += behind
    # The ear on the side nearer the viewer lies before the head.
    near = -1 if traits.pose > 0 else 1
    _ear(planes, person, near, smooth_step(abs(traits.pose), 0.0, 0.5))
    front = hair.paint_front(planes)
    if traits.eyeglasses:
        _glasses(planes, person, head * (1 - front))
    planes += 0.005 * noise_plane(rng, resolution)
    return planes


def _background(traits: PortraitAttributes, resolution: int) -> np.ndarray:
    x, y = pixel_centres(resolution)
    top, bottom = (
        np.array(colour, np.float32).reshape(3, 1, 1)
        for colour in (traits.background_top, traits.background_bottom)
    )
    share = 0.5 + 0.42 * y - (0.08 * traits.light) * x
    planes = top + share * (bottom - top)
    planes += 0.10 * glow(x, y + 0.1, (1.25, 1.25))
    return planes


def _body(planes: np.ndarray, person: Person) -> None:
    traits = person.traits
    p = patch(planes, person.picture, (-1, 0.3, 1, 1))
    ax = np.abs(p.x)
    width = 0.17 + 0.055 * person.manly
    flare = np.maximum(p.y - 0.62, 0)
    neck = p.inside(ax - width - 1.2 * flare * flare)
    p.paint(neck, person.skin)
    p.paint(neck * clamp((0.86 - p.y) / 0.3), person.shadow, 0.85)
    shoulders = egg(p.x, p.y - 1.42, (0.84 + 0.08 * person.manly, 0.69), square=0.2)
    body = p.inside(shoulders)
    p.paint(body * p.inside(ax - 0.5), mix(person.skin, person.shadow, 0.25))
    cloth = np.array(traits.clothes, np.float32)
    if traits.neckline == "turtleneck":
        roll = np.maximum(ax - width - 0.035, np.abs(p.y - 0.88) - 0.15)
        cover = np.maximum(body, p.inside(roll))
    elif traits.neckline == "crew":
        cover = body * (1 - p.inside(egg(p.x, p.y - 0.7, (0.26, 0.16))))
    else:
        steep = 0.8 if traits.neckline == "collar" else 1.05
        cover = body * (1 - p.inside((ax + steep * (p.y - 1.02)) * 0.7))
    p.paint(cover, cloth)
    away = clamp(0.06 - math.copysign(0.6, traits.light) * p.x, 0, 0.4)
    p.paint(cover * away, 0.55 * cloth)
    if traits.neckline == "turtleneck":
        fold = p.arc(p.x, p.y - 0.83, width + 0.06, -0.05, 0.03)
        p.paint(fold * cover, 0.6 * cloth, 0.7)
    elif traits.neckline == "crew":
        rim = p.outline(egg(p.x, p.y - 0.7, (0.275, 0.175)), 0.03)
        p.paint(rim * body, 0.75 * cloth)
    elif traits.neckline == "collar":
        inner = -0.78 * (ax + 0.8 * (p.y - 1.02))
        outer = 0.94 * (ax - 0.27 + 0.35 * (p.y - 0.76))
        ends = np.maximum(0.9 * (p.y - 0.99 - 0.5 * ax), 0.73 - p.y)
        leaf = np.maximum(np.maximum(inner, outer), ends)
        p.paint(p.inside(leaf - 0.018) * body, 0.6 * cloth)
        p.paint(p.inside(leaf), mix(cloth, WHITE, 0.35))


def _skin(planes: np.ndarray, person: Person) -> None:
    rx, ry = person.radii
    light = person.traits.light
    p = patch(planes, person.head, (-0.62, -0.66, 0.62, 0.7))
    p.planes[...] = person.skin.reshape(3, 1, 1)
    away = p.x * (-0.85 * light / rx) + p.y * (0.38 / ry)
    p.paint(clamp(away - 0.21, 0, 0.75), person.shadow)
    bright = glow(p.x - 0.2 * light, p.y + 0.22, (0.42, 0.42))
    p.paint(bright, mix(person.skin, WHITE, 0.45), 0.3)


def _ear(planes: np.ndarray, person: Person, side: int, opacity: float) -> None:
    """One ear; `side` -1 is the picture's left, 1 its right."""
    pose = person.traits.pose
    x = side * person.radii[0] * (1.0 - 0.10 * abs(pose) - 0.12 * max(-side * pose, 0))
    p = patch(planes, person.head, (x - 0.08, -0.12, x + 0.08, 0.16))
    place = p.x - x, p.y - 0.02
    ear = p.inside(egg(*place, (0.075, 0.135), taper=0.4))
    p.paint(ear, mix(person.skin, person.shadow, 0.25), opacity)
    hollow = p.inside(egg(*place, (0.04, 0.085), taper=0.4))
    p.paint(hollow, person.shadow, 0.6 * opacity)


def _freckles(planes: np.ndarray, person: Person, rng: np.random.Generator) -> None:
    places = rng.random((_MAX_FRECKLES, 3), dtype=np.float32)
    count = round(person.traits.freckles * _MAX_FRECKLES)
    if not count:
        return
    p = patch(planes, person.face, (-0.34, 0.0, 0.34, 0.25))
    x, y, size = places[:count].T[:, :, None, None]
    scale = 1 / (0.012 + 0.014 * size)
    spots = glow(
        (p.x - 0.6 * (x - 0.5)) * scale, (p.y - 0.03 - 0.18 * y) * scale, (1, 1)
    )
    p.paint(spots.max(axis=0), mix(person.shadow, BLACK, 0.15), 0.55)


def _cheeks(planes: np.ndarray, person: Person) -> None:
    smile = max(person.traits.smile, 0)
    p = patch(planes, person.face, (-0.44, 0.02, 0.44, 0.40))
    ax = np.abs(p.x)
    blush = glow(ax - 0.26, p.y - 0.17 + 0.03 * smile, (0.16, 0.12))
    strength = 0.22 + 0.12 * smile + 0.06 * (1 - person.manly)
    p.paint(blush, mix(person.skin, BLUSH, 0.7), strength)
    depth = 0.11 * smile + 0.6 * smooth_step(person.traits.age, 0.15, 0.85)
    if depth > 0:
        slant = ax - 0.15 - 0.28 * (p.y - 0.14)
        fold = p.arc(p.y - 0.265, slant, 0.11, -0.02, 0.016)
        p.paint(fold, mix(person.shadow, BLACK, 0.12), min(depth, 0.75))


def _wrinkles(planes: np.ndarray, person: Person) -> None:
    old = 0.65 * smooth_step(person.traits.age, 0.2, 0.95)
    if not old:
        return
    p = patch(planes, person.face, (-0.40, -0.38, 0.40, 0.1))
    ax = np.abs(p.x)
    bags = p.arc(ax - EYE_X, p.y - 0.062, 0.10, -0.022, 0.014)
    # Three parallel lines at once: y is folded onto the nearest of them.
    line = clamp(np.rint((p.y + 0.075) / 0.04), 0, 2)
    crow = p.arc(ax - 0.345, p.y + 0.075 - 0.04 * line, 0.03, 0, 0.011)
    line = clamp(np.rint((p.y + 0.35) / 0.05), 0, 2)
    brow = p.arc(p.x, p.y + 0.35 - 0.05 * line, 0.19, 0.012, 0.013)
    lines = np.maximum(np.maximum(bags, 0.7 * crow), brow)
    p.paint(lines, mix(person.shadow, BLACK, 0.12), old)


def _nose(planes: np.ndarray, person: Person) -> None:
    traits = person.traits
    width = 0.09 + 0.012 * traits.nose_size + 0.012 * person.manly
    p = patch(planes, person.face, (-0.2, -0.16, 0.2, 0.26))
    # The tip stands out from the face, so it moves more when the head turns.
    x = p.x - (0.05 * traits.pose) * clamp((p.y + 0.1) * 3)
    y = p.y - (0.17 + 0.01 * traits.age)
    lit = math.copysign(1, traits.light)
    dark = mix(person.skin, person.shadow, 0.9)
    p.paint(glow(x + 0.05 * lit, y + 0.07, (0.05, 0.2)), dark, 0.5)
    p.paint(p.arc(x, y - 0.035, width, -0.028, 0.035), dark, 0.85)
    nostrils = p.inside(egg(np.abs(x) - 0.036, y - 0.038, (0.02, 0.011)))
    p.paint(nostrils, mix(person.shadow, BLACK, 0.45), 0.75)
    x = x - 0.012 * lit
    shine = glow(x, y + 0.015, (0.035, 0.05)) + 0.6 * glow(x, y + 0.13, (0.022, 0.14))
    p.paint(shine, mix(person.skin, WHITE, 0.6), 0.35)


def _mouth(planes: np.ndarray, person: Person) -> None:
    traits, smile = person.traits, person.traits.smile
    p = patch(planes, person.face, (-0.24, 0.26, 0.24, 0.56))
    half = 0.145 + 0.04 * smile
    # How far the corners lie above the middle, and how far the lips part.
    bow = 0.006 + (0.056 if smile > 0 else 0.04) * smile
    gap = 0.085 * smooth_step(smile, 0.2, 1.0)
    x, y = p.x - 0.02 * traits.pose, p.y - (MOUTH_Y - 0.5 * bow)
    full = (1 + 0.25 * traits.lip_fullness) * (1 - 0.3 * traits.age)
    upper = 0.036 * full * (1 - 0.35 * person.manly)
    lower = 0.046 * full * (1 - 0.25 * person.manly)
    red = 0.75 - 0.42 * person.manly
    lip = mix(mix(person.skin, person.shadow, 0.6), LIP, red)
    under = bow + gap + lower  # depth of the lower lip's edge
    dip = 1 - 0.3 * glow(x, 0 * y, (0.4 * half, 1))  # Cupid's bow
    p.paint(p.lens(x, y, half + 0.012, upper * dip - bow, under), lip)
    upper_lip = p.lens(x, y, half + 0.012, upper * dip - bow, bow)
    p.paint(upper_lip, 0.7 * lip, 0.35)
    p.paint(glow(x, y - under + 0.5 * lower, (0.08, 0.016)), mix(lip, WHITE, 0.6), 0.35)
    if gap > 0:
        hole = p.lens(x, y, half - 0.01, -bow, bow + gap)
        p.paint(hole, MOUTH)
        p.paint(hole * glow(x, y - (bow + gap), (0.1, 0.045)), TONGUE)
        teeth = p.lens(x, y, half - 0.02, -bow, bow + 0.55 * gap)
        p.paint(teeth * hole, mix(WHITE, person.skin, 0.08))
    seam = p.arc(x, y, half, -bow, 0.014)
    p.paint(seam, mix(lip, MOUTH, 0.85), 0.85)
    p.paint(glow(x, y - under - 0.035, (0.1, 0.025)), person.shadow, 0.4)


def _eyes(planes: np.ndarray, person: Person) -> None:
    traits, age, fair = person.traits, person.traits.age, 1 - person.manly
    p = patch(planes, person.face, (-0.37, -0.19, 0.37, 0.1))
    x, y = np.abs(p.x) - EYE_X, p.y - EYE_Y
    size = 1 + 0.09 * traits.eye_size + 0.06 * fair
    half, up, down = 0.112 * size, 0.070 * size * (1 - 0.16 * age), 0.056 * size
    tilt = -0.010 + 0.02 * age - 0.012 * fair
    p.paint(glow(x, y + 0.02, (0.17, 0.13)), person.shadow, 0.42)
    white = p.lens(x, y, half, up, down, tilt=tilt)
    p.paint(white, EYE_WHITE)
    shade = clamp((0.01 - y) * 11)  # of the upper lid
    p.paint(white * shade, mix(person.shadow, BLACK, 0.1), 0.35)
    iris_y = y + 0.010
    from_pupil = np.sqrt(x * x + iris_y * iris_y)
    colour = along(EYES, traits.eye_colour)
    radius = 0.065 * size
    p.paint(white * p.inside(from_pupil - radius), 0.55 * colour)
    iris = white * p.inside(from_pupil - (radius - 0.012))
    p.paint(iris, colour)
    p.paint(iris * glow(x, iris_y - 0.03, (0.05, 0.04)), mix(colour, WHITE, 0.5), 0.5)
    p.paint(white * p.inside(from_pupil - 0.031), BLACK)
    spark_x = np.sign(p.x) * x - math.copysign(0.022, traits.light)
    spark = np.sqrt(spark_x * spark_x + (iris_y + 0.022) ** 2)
    p.paint(p.inside(spark - 0.017), WHITE)
    lash = 0.020 + 0.012 * fair
    lid = p.lens(x, y, half + 0.008, up + lash, 0.004 - up, tilt=tilt)
    p.paint(lid, mix(BLACK, person.shadow, 0.1))
    line = mix(person.shadow, BLACK, 0.3)
    p.paint(p.arc(x, y, half, -down, 0.010, tilt=tilt), line, 0.6)
    crease = p.arc(x, y + 0.035, half, up - 0.004 - 0.02 * age, 0.012, tilt=tilt)
    p.paint(crease, line, 0.6)
    if fair > 0.5:
        y = y - (tilt - 0.012)
        wing = p.arc(x - half - 0.014, y, 0.028, 0.0, 0.018, tilt=-0.016)
        p.paint(wing, BLACK, 2 * fair - 1)


def _glasses(planes: np.ndarray, person: Person, bare: np.ndarray) -> None:
    """Eyeglasses; their arms show where the head is `bare` of hair, `[R, R]`."""
    traits = person.traits
    p = patch(planes, person.face, (-0.45, -0.2, 0.45, 0.16))
    ax = np.abs(p.x)
    x, y = ax - 0.215, p.y + 0.025
    radii, square = {
        "round": ((0.165, 0.15), 0.0),
        "square": ((0.175, 0.125), 0.8),
        "oval": ((0.18, 0.115), 0.35),
    }[traits.glasses_style]
    distance = egg(x, y, radii, square=square)
    glass = p.inside(distance)
    p.paint(glass, GLASS, 0.1)
    glare = p.inside(np.abs(np.sign(p.x) * x + y + 0.05) - 0.022)
    p.paint(glass * glare, WHITE, 0.28)
    frame = p.outline(distance, 0.030)
    bridge = p.arc(p.x, y + 0.01, 0.075, 0.025, 0.04)
    bridge *= p.inside(ax - 0.05)
    arm = p.inside(np.abs(y + 0.025) - 0.014)
    arm *= p.inside(np.abs(ax - 0.40) - 0.04) * bare[p.at] * (1 - glass)
    p.paint(
        np.maximum(np.maximum(frame, bridge), arm), along(FRAMES, traits.frame_colour)
    )
