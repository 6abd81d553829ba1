"""The built-in portraits: reproducible, consistent over resolutions, labelled."""

import dataclasses
import hashlib
import itertools

import numpy as np
import pytest

from stylegan_jax.data.portraits import source
from stylegan_jax.data.portraits.people import HAIR_STYLES, LABEL_SIZES
from stylegan_jax.data.portraits.shapes import (
    Frame,
    egg,
    patch,
    pixel_centres,
    rolled_frame,
)
from stylegan_jax.data.portraits.source import (
    PortraitAttributes,
    Portraits,
    attributes,
    draw,
)
from stylegan_jax.errors import UserError

# A front view without hair or glasses in the way, and light from the left.
PLAIN = PortraitAttributes(hair_style="bun", hair_colour=0.1, age=0.2, gender=-0.8)


def drawn(resolution=64, **changes):
    person = dataclasses.replace(PLAIN, **changes)
    return draw(person, resolution=resolution, detail_seed=5).astype(np.float64)


def halved(image):
    n = len(image) // 2
    return image.astype(np.float64).reshape(n, 2, n, 2, 3).mean(axis=(1, 3))


def changed(first, second):
    """Where two pictures differ by more than rounding, bool `[R, R]`."""
    return np.abs(first - second).max(axis=-1) > 1.5


def region(left, top, right, bottom, size=64):
    """Mask of a box in frame coordinates, bool `[R, R]`."""
    x, y = pixel_centres(size)
    return (left < x) & (x < right) & (top < y) & (y < bottom)


def test_images_do_not_depend_on_call_order_or_object():
    source = Portraits(10, seed=3)
    forward = [source.image(i, 64) for i in range(10)]
    again = Portraits(10, seed=3)
    backward = [again.image(i, 64) for i in reversed(range(10))][::-1]
    np.testing.assert_array_equal(forward, backward)
    assert [source.attributes(i) for i in range(10)] == [
        attributes(i, seed=3) for i in range(10)
    ]


def test_the_size_of_the_data_set_does_not_change_its_people():
    np.testing.assert_array_equal(
        Portraits(5).image(4, 64), Portraits(100_000).image(4, 64)
    )


def test_other_indices_and_seeds_are_other_people():
    people = [attributes(i, seed=s) for i in range(50) for s in range(4)]
    assert len(set(people)) == len(people)
    pictures = {
        Portraits(9, seed=s).image(i, 16).tobytes() for s in (0, 1) for i in (0, 1)
    }
    assert len(pictures) == 4


@pytest.mark.parametrize("resolution", [4, 8, 16, 32, 64, 128, 256])
def test_images_are_uint8_of_the_resolution_and_show_something(resolution):
    image = Portraits(3).image(2, resolution)
    assert image.shape == (resolution, resolution, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.std() > 15


@pytest.mark.parametrize("resolution", [4, 8, 16, 32])
def test_below_64_the_drawing_is_the_rounded_box_mean_of_64(resolution):
    source, k = Portraits(4), 64 // resolution
    for index in range(4):
        large = source.image(index, 64).astype(np.float64)
        mean = large.reshape(resolution, k, resolution, k, 3).mean(axis=(1, 3))
        np.testing.assert_array_equal(
            source.image(index, resolution), np.floor(mean + 0.5)
        )


@pytest.mark.parametrize(
    "resolution", [128, pytest.param(256, marks=pytest.mark.thorough)]
)
def test_the_box_mean_is_close_to_the_drawing_at_half_the_resolution(resolution):
    source = Portraits(12)
    for index in range(12):
        mean, small = (
            halved(source.image(index, resolution)),
            source.image(index, resolution // 2).astype(np.float64),
        )
        error = np.abs(mean - small)
        assert error.mean() < 2.0
        assert np.percentile(error, 99) < 30
        for axis in (0, 1):  # a shift of one pixel, or half a one, would show
            for step in (-1, 1):
                moved = np.abs(np.roll(mean, step, axis) - small)
                assert error.mean() < 0.7 * moved.mean()


@pytest.mark.thorough
def test_1024_shows_the_same_person_as_64():
    source = Portraits(9)
    image = source.image(6, 1024)
    for _ in range(4):
        image = halved(image)
    error = np.abs(image - source.image(6, 64))
    assert error.mean() < 2.5
    other = np.abs(image - source.image(7, 64))
    assert error.mean() < 0.1 * other.mean()


def test_detail_seed_changes_detail_only_slightly():
    for index in range(8):
        person = attributes(index)
        first, second = (
            draw(person, resolution=64, detail_seed=s).astype(np.float64)
            for s in (1, 2)
        )
        assert 0.3 < np.abs(first - second).mean() < 5.0
        # Blurred over 8 x 8 pixels, hardly anything is left.
        for _ in range(3):
            first, second = halved(first), halved(second)
        assert np.abs(first - second).mean() < 1.5


@pytest.mark.parametrize("glasses_style", ["round", "square", "oval"])
def test_eyeglasses_change_the_eye_band_only(glasses_style):
    without = drawn(eyeglasses=False)
    there = changed(without, drawn(eyeglasses=True, glasses_style=glasses_style))
    assert not there[~region(-0.55, -0.3, 0.55, 0.3)].any()
    assert there[region(-0.45, -0.2, 0.45, 0.2)].mean() > 0.25


def test_a_smile_changes_the_mouth_and_cheeks_only():
    there = changed(drawn(smile=-0.5), drawn(smile=1.0))
    assert not there[~region(-0.5, 0.0, 0.5, 0.65)].any()
    assert there[region(-0.2, 0.3, 0.2, 0.5)].mean() > 0.4


def test_only_laughing_shows_teeth():
    mouth = region(-0.22, 0.28, 0.22, 0.55, 128)
    teeth = [(drawn(128, smile=s).min(axis=-1) > 190)[mouth].sum() for s in (-1, 0, 1)]
    assert teeth[0] == teeth[1] == 0
    assert teeth[2] >= 20


def test_pose_moves_the_features_to_its_side_step_by_step():
    x, _ = pixel_centres(64)
    centres = []
    for pose in (-1.0, -0.5, 0.0, 0.5, 1.0):
        image = drawn(pose=pose, smile=1.0, skin_tone=0.6)
        teeth = (image.min(axis=-1) > 150) & region(-0.5, 0.3, 0.5, 0.55)
        centres.append(x[teeth].mean())
    assert (np.diff(centres) > 0.02).all()
    assert abs(centres[2]) < 0.02


def test_age_greys_the_hair_and_leaves_the_background():
    young, old = drawn(age=0.0), drawn(age=1.0)
    hair = region(-0.15, -0.6, 0.15, -0.5)
    assert old[hair].mean() > young[hair].mean() + 60
    assert not changed(young, old)[region(-1, -1, 1, -0.9)].any()
    assert not changed(young, old)[region(0.6, -0.9, 1, 0.6)].any()


def test_masculine_jaws_and_necks_are_wider():
    widths = []
    for gender in (-1.0, 0.0, 1.0):
        light, dark = (
            drawn(128, gender=gender, hair_style="bald", skin_tone=t)
            for t in (0.0, 1.0)
        )
        widths.append(
            [changed(light, dark)[row].sum() for row in (94, 108)]  # y = 0.48, 0.7
        )
    assert (np.diff(widths, axis=0) >= 2).all()


def test_longer_hair_falls_lower_and_never_covers_the_mouth():
    lowest = []
    for length in (0.0, 0.5, 1.0):
        black, blond = (
            drawn(hair_style="parted", hair_length=length, hair_colour=c)
            for c in (0.0, 1.0)
        )
        there = changed(black, blond)
        lowest.append(np.nonzero(there.any(axis=1))[0].max())
        assert not there[region(-0.18, 0.2, 0.18, 0.5)].any()
    assert lowest[0] + 3 <= lowest[1] <= lowest[2] - 3


def test_beards_grow_on_masculine_faces_only():
    chin = region(-0.15, 0.5, 0.15, 0.57)
    for gender, grows in ((-0.8, False), (0.8, True)):
        shaved, beard = (drawn(gender=gender, facial_hair=f) for f in (0.0, 1.0))
        assert changed(shaved, beard)[chin].all() == grows
        assert changed(shaved, beard)[chin].any() == grows


def test_people_are_drawn_with_independent_attributes():
    people = [attributes(i) for i in range(3000)]
    names = [
        "pose", "smile", "eyeglasses", "age", "gender", "hair_length", "hair_colour",
        "facial_hair", "skin_tone", "eye_colour", "light", "freckles", "roll",
    ]  # fmt: skip
    table = [[float(getattr(p, n)) for n in names] for p in people]
    table = [
        row + [float(p.hair_style == s) for s in HAIR_STYLES[:-1]]
        for row, p in zip(table, people, strict=True)
    ]
    correlations = np.corrcoef(np.array(table).T)
    one_of = len(names)  # styles exclude one another, so they do correlate
    correlations[one_of:, one_of:] = 0
    np.fill_diagonal(correlations, 0)
    assert np.abs(correlations).max() < 0.08


def test_attributes_cover_their_ranges_in_the_promised_shares():
    people = [attributes(i, seed=2) for i in range(2000)]
    poses = np.array([p.pose for p in people])
    assert poses.min() < -0.98 and poses.max() > 0.98
    assert abs(np.mean([p.eyeglasses for p in people]) - 1 / 3) < 0.04
    assert abs(np.mean([p.gender > 0 for p in people]) - 0.5) < 0.04
    assert {p.hair_style for p in people} == set(HAIR_STYLES)


@pytest.mark.parametrize("label", sorted(LABEL_SIZES))
def test_labels_are_one_hot_classes_of_the_attribute(label):
    source = Portraits(40, seed=4, label=label)
    for index in range(40):
        one_hot, value = source.label(index), getattr(source.attributes(index), label)
        assert one_hot.dtype == np.float32
        assert one_hot.shape == (source.label_size,)
        assert sorted(one_hot)[-2:] == [0, 1] and one_hot.sum() == 1
        truth = {
            "eyeglasses": lambda v: int(v is True),
            "age": lambda v: int(v >= 0.5),
            "hair_style": HAIR_STYLES.index,
        }.get(label, lambda v: int(v >= 0))(value)
        assert one_hot.argmax() == truth


def test_without_a_label_labels_are_empty():
    source = Portraits(7)
    assert (len(source), source.name, source.num_channels) == (7, "portraits", 3)
    assert source.label_size == 0
    assert source.label(0).shape == (0,)


@pytest.mark.parametrize("resolution", [-64, 0, 2, 3, 48, 64.5, 2048])
def test_other_resolutions_are_refused_by_name(resolution):
    with pytest.raises(ValueError, match=f"resolution {resolution} is not a power"):
        Portraits(1).image(0, resolution)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Portraits(0), UserError, "size is 0"),
        (lambda: Portraits(1, seed=-1), UserError, "seed"),
        (lambda: Portraits(1, label="hat"), UserError, "no label 'hat'; choose one"),
        (lambda: PortraitAttributes(smile=1.5), UserError,
         r"smile is 1.5, .* \[-1, 1\]",),
        (lambda: PortraitAttributes(hair_style="mohawk"), UserError,
         "'mohawk' is unkn",),
        (lambda: Portraits(5).image(-1, 64), IndexError, "index -1 is outside"),
        (lambda: Portraits(5).image(5, 64), IndexError, "index 5 is outside"),
    ],
)  # fmt: skip
def test_mistakes_are_named(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize("size", [64, 256])
def test_coverages_add_up_to_the_shapes_areas(size):
    frame = rolled_frame(
        Frame(*pixel_centres(size)), (0.013, -0.007), 0
    )  # off the grid
    p = patch(np.zeros((3, size, size)), frame, (-2, -2, 2, 2))
    area = p.inside(egg(p.x, p.y, (0.5, 0.3))).sum() * p.pixel**2
    assert area == pytest.approx(np.pi * 0.5 * 0.3, rel=0.01)
    area = p.lens(p.x, p.y, 0.4, 0.1, 0.2).sum() * p.pixel**2
    assert area == pytest.approx(4 / 3 * 0.4 * 0.3, rel=0.01)
    thin = p.arc(p.x, p.y, 0.4, 0.05, 0.3 * p.pixel).sum() * p.pixel**2
    assert thin == pytest.approx(2 / 3 * 0.8 * 0.3 * p.pixel, rel=0.03)


def test_the_drawing_is_that_of_its_version():
    """Whoever changes a digest on purpose changes `source.DRAWING`, too."""
    drawn = hashlib.sha256()
    for index, resolution in itertools.product(range(64), (32, 64)):
        drawn.update(Portraits(64, seed=7).image(index, resolution).tobytes())
    people = repr([attributes(i, seed=3) for i in range(500)])
    digests = (
        source.DRAWING[:8],
        drawn.hexdigest()[:16],
        hashlib.sha256(people.encode()).hexdigest()[:16],
    )
    assert digests == ("9060305c", "137693b4f557d7a2", "617967ecf2e1d17e")
