"""The pipeline against the definitions, in float64 and pixel by pixel."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.augment import color, diffaugment, geometry, pipeline, values
from stylegan_jax.augment.values import PIPES

augment = jax.jit(pipeline.augment)
draw = jax.jit(values.draw, static_argnums=(1, 3))
warp = jax.jit(geometry.warp)
SYM6 = geometry._SYM6 / geometry._SYM6.sum()
EVERYTHING = PIPES["bgcfnc"]


def photo(size, channels=3, count=2, seed=0):
    draw = np.random.RandomState(seed)
    return draw.uniform(-1, 1, (count, size, size, channels)).astype("f")


def warped(image, matrix):
    """One channel `[H, H]` under one matrix, by the definition."""
    size = len(image)
    padded = np.pad(image, size - 1, mode="reflect")
    spread = np.zeros((2 * len(padded) + 11, 2 * len(padded) + 11))
    spread[6:-5:2, 6:-5:2] = padded
    large = spread
    for _ in range(2):
        large = np.stack([np.convolve(row, 2 * SYM6, "valid") for row in large]).T
    rows = len(large)
    samples = 2 * (size + 6)
    result = np.zeros((samples, samples))
    for i in range(samples):
        for j in range(samples):
            # Pixel centres, from the middle of the image, in its pixels.
            to = np.array([(j + 1 - samples / 2) / 2, (i + 1 - samples / 2) / 2, 1])
            x, y = 2 * (matrix @ to)[:2] - 1 + rows / 2
            for u, p in ((math.floor(y), 1 - y % 1), (math.floor(y) + 1, y % 1)):
                for v, q in ((math.floor(x), 1 - x % 1), (math.floor(x) + 1, x % 1)):
                    if 0 <= u < rows and 0 <= v < rows:
                        result[i, j] += p * q * large[u, v]
    for _ in range(2):
        result = np.stack(
            [[row[2 * k + 1 :][:12] @ SYM6 for k in range(size)] for row in result]
        ).T
    return result


TURNED = np.array([[0.8, -0.5, 1.3], [0.6, 0.9, -2.1], [0, 0, 1]])
AWAY = np.array([[2.5, 0, 9.0], [0.3, -2.0, 4.5], [0, 0, 1]])  # beyond the edges


@pytest.mark.parametrize("size", [4, 8, pytest.param(16, marks=pytest.mark.thorough)])
def test_warping_is_what_its_definition_says(size):
    images = photo(size, 1, 2)
    got = warp(images, jnp.asarray([TURNED, AWAY], jnp.float32))
    for i, matrix in enumerate((TURNED, AWAY)):
        wanted = warped(images[i, :, :, 0], matrix)
        np.testing.assert_allclose(got[i, :, :, 0], wanted, atol=1e-5)


def test_matrices_turn_and_move_as_their_names_say():
    at = np.arange(16) / 16
    smooth = np.sin(4 * at[:, None] + 1) * np.cos(3 * at[None]) + at[None] / 2
    rough = photo(16, 1, 1)[0, :, :, 0]

    def moved(image, **values):
        values = {name: jnp.asarray([value], "f") for name, value in values.items()}
        return np.asarray(augment(image[None, :, :, None], values))[0, :, :, 0]

    # The filter is not symmetric: a mirrored image is off by a part of a pixel.
    inner = np.s_[3:-3, 3:-3]
    for image, wanted in [
        (moved(smooth, xflip=1), smooth[:, ::-1]),
        (moved(smooth, rotate90=1), np.rot90(smooth)),
        (moved(smooth, rotate90=2), np.rot90(smooth, 2)),
        (moved(smooth, rotate90=3), np.rot90(smooth, 3)),
        (moved(smooth, rotate=np.pi / 2), np.rot90(smooth)),
    ]:
        np.testing.assert_allclose(image[inner], wanted[inner], atol=0.04)
    # Three pixels to the right, two down; beyond the edge comes the reflection.
    there = moved(rough, xint=(3 / 16, 2 / 16))
    np.testing.assert_allclose(there[2:, 3:], rough[:-2, :-3], atol=1e-5)
    np.testing.assert_allclose(there[2:, 2], rough[:-2, 1], atol=1e-5)
    np.testing.assert_allclose(moved(rough, xfrac=(3 / 16, 2 / 16)), there, atol=1e-5)


def test_an_enlarged_constant_stays_constant_and_a_ramp_grows_flatter():
    ramp = np.broadcast_to(np.linspace(-1, 1, 32, dtype="f"), (1, 32, 32))[..., None]
    out = np.asarray(augment(ramp, {"scale": jnp.asarray([2.0])}))[0, 16, 8:24, 0]
    np.testing.assert_allclose(np.diff(out), 1 / 31, atol=2e-3)
    flat = np.full((1, 32, 32, 1), 0.7, "f")
    values = {"scale": jnp.asarray([1.3]), "rotate": jnp.asarray([0.5])}
    np.testing.assert_allclose(augment(flat, values), 0.7, atol=2e-3)


def test_colours_are_a_product_of_steps():
    image = photo(8)
    values = {
        "brightness": jnp.asarray([0.3, -0.1]),
        "contrast": jnp.asarray([1.5, 0.7]),
        "lumaflip": jnp.asarray([1.0, 0.0]),
        "hue": jnp.asarray([0.4, -2.0]),
        "saturation": jnp.asarray([0.5, 2.0]),
    }
    got = augment(image, values)
    axis = np.ones(3) / np.sqrt(3)
    for i in range(2):
        b, c, flip, hue, s = (float(value[i]) for value in values.values())
        x = (image[i].astype(float) + b) * c
        along = (x @ axis)[..., None] * axis
        x = x - 2 * flip * along
        along, across = (x @ axis)[..., None] * axis, 0
        across = x - along
        across = across * np.cos(hue) + np.cross(axis, across) * np.sin(hue)
        np.testing.assert_allclose(got[i], along + s * across, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_every_number_of_channels_and_alpha_keeps_its_colour(channels):
    image = photo(8, channels, 4)
    values = draw(jax.random.key(1), PIPES["color"], 1.0, image.shape)
    got = np.asarray(augment(image, values))
    assert got.shape == image.shape
    if channels in (2, 4):
        np.testing.assert_array_equal(got[..., -1], image[..., -1])
        opaque = augment(image[..., :-1], values)
        np.testing.assert_allclose(got[..., :-1], opaque, atol=1e-6)
    if channels == 1:
        # As an image with three equal channels, and those averaged.
        wide = augment(np.repeat(image, 3, axis=-1), values).mean(-1, keepdims=True)
        np.testing.assert_allclose(got, wide, atol=1e-5)


@pytest.mark.parametrize("size", [4, 64])
def test_bands_are_amplified_one_by_one(size):
    bank = color.band_filters()
    np.testing.assert_allclose(bank.sum(axis=0), np.eye(1, 43, 21)[0], atol=1e-12)
    gains = np.array([[1.3, 0.4, 2.0, 0.9], [1, 1, 1, 1]])
    image = photo(size)
    got = augment(image, {"imgfilter": jnp.asarray(gains, "f")})
    np.testing.assert_array_equal(got[1], image[1])
    total = np.ones(4)
    for band, gain in enumerate(gains[0]):
        one = np.where(np.arange(4) == band, gain, 1)
        total *= one / np.sqrt((np.array([10, 1, 1, 1]) / 13 * one**2).sum())
    taps = total @ bank
    x = np.pad(image[0].astype(float), ((21, 21), (21, 21), (0, 0)), mode="reflect")
    for axis in (0, 1):
        x = np.apply_along_axis(lambda line: np.convolve(line, taps, "valid"), axis, x)
    np.testing.assert_allclose(got[0], x, atol=1e-5)


def test_noise_and_cutout_are_where_they_were_drawn():
    image = photo(8, 3, 3)
    noise = photo(8, 3, 3, seed=1)
    sigma = jnp.asarray([0.0, 0.1, 0.3])
    got = augment(image, {"noise": sigma, "noise_map": noise})
    np.testing.assert_allclose(got, image + sigma[:, None, None, None] * noise, 1e-6)
    center = jnp.asarray([[0.5, 0.5], [0.25, 1.0], [0.5, 0.5]])
    values = {"cutout": jnp.asarray([0.5, 0.5, 0.0]), "cutout_center": center}
    gone = np.asarray(augment(image, values)) == 0
    wanted = np.zeros((3, 8, 8, 3), bool)
    wanted[0, 2:6, 2:6] = True
    wanted[1, 6:, 0:4] = True
    np.testing.assert_array_equal(gone, wanted)


@jax.jit
def transposed(x, y, z, values):
    """The map of x, its transpose of y, and the transpose's transpose of z."""
    out, pull_back = jax.vjp(lambda x: pipeline.augment(x, values), x)
    back, pull_again = jax.vjp(lambda y: pull_back(y)[0], y)
    return out, back, pull_again(z)[0]


@pytest.mark.optimised
@pytest.mark.parametrize("size", [8, pytest.param(4, marks=pytest.mark.thorough)])
def test_gradients_are_transposes_and_probability_zero_is_bitwise_nothing(size):
    shape = (3, size, size, 4)
    x, y, z = (photo(size, 4, 3, seed) for seed in range(3))
    values = draw(jax.random.key(3), EVERYTHING, 0.9, shape)
    values["noise"] = 0 * values["noise"]
    values["brightness"] = 0 * values["brightness"]  # else not linear but affine
    out, back, again = transposed(x, y, z, values)
    np.testing.assert_allclose(np.vdot(out, y), np.vdot(x, back), rtol=1e-4)
    np.testing.assert_allclose(again, augment(z, values), atol=1e-5)
    assert np.abs(out - x).mean() > 0.1
    values = draw(jax.random.key(0), EVERYTHING, 0.0, shape)
    out, back, again = transposed(x, y, z, values)
    for found, wanted in ((out, x), (back, y), (again, z)):
        np.testing.assert_array_equal(found, wanted)


def test_values_have_the_distributions_of_the_paper():
    count = 4000
    values = draw(jax.random.key(0), EVERYTHING, 1.0, (count, 1, 1, 1))

    def check(name, low, high, deviation):
        x = np.asarray(values[name], np.float64)
        assert low <= x.min() and x.max() <= high
        np.testing.assert_allclose(x.std(), deviation, rtol=0.05, err_msg=name)

    check("xflip", 0, 1, 0.5)
    check("rotate90", 0, 3, np.sqrt(5) / 2)
    check("xint", -0.125, 0.125, 0.125 / np.sqrt(3))
    for name in ("rotate", "rotate_after", "hue"):
        check(name, -np.pi, np.pi, np.pi / np.sqrt(3))
    for name, deviation in [("xfrac", 0.125), ("brightness", 0.2)]:
        check(name, -np.inf, np.inf, deviation)
    powers = {"scale": 0.2, "aniso": 0.2, "contrast": 0.5, "saturation": 1}
    for name, deviation in (powers | {"imgfilter": 1}).items():
        values[name] = np.log2(values[name])
        check(name, -np.inf, np.inf, deviation)
        np.testing.assert_allclose(values[name].mean(), 0, atol=deviation / 15)
    # The absolute value of a normal variable has this deviation.
    check("noise", 0, np.inf, 0.1 * np.sqrt(1 - 2 / np.pi))
    check("cutout_center", 0, 1, 1 / np.sqrt(12))
    assert values["imgfilter"].shape == (count, 4)
    assert values["xint"].shape == (count, 2)
    # No two are drawn with the same key.
    flat = np.stack([np.asarray(v).reshape(count, -1)[:, 0] for v in values.values()])
    flat = flat[flat.std(axis=1) > 0]
    assert np.abs(np.corrcoef(flat) - np.eye(len(flat))).max() < 0.1


def test_each_happens_with_its_probability():
    count, p = 4000, 0.36
    values = draw(jax.random.key(0), EVERYTHING, p, (count, 1, 1, 1))

    def share(name, neutral):
        return np.mean(np.asarray(values[name]).reshape(count, -1)[:, 0] != neutral)

    expected = {"xflip": p / 2, "rotate90": p * 3 / 4, "rotate": 0.2, "cutout": p}
    expected |= {"rotate_after": 0.2, "xint": p, "hue": p, "noise": p, "xfrac": p}
    for name, wanted in expected.items():
        np.testing.assert_allclose(share(name, 0), wanted, atol=0.03, err_msg=name)
    for name in ("scale", "aniso", "contrast", "saturation", "imgfilter"):
        np.testing.assert_allclose(share(name, 1), p, atol=0.03, err_msg=name)
    bands = np.asarray(values["imgfilter"]) != 1
    assert np.abs(np.corrcoef(bands.T) - np.eye(4)).max() < 0.1
    moved = np.asarray(values["xint"]) != 0
    np.testing.assert_array_equal(moved[:, 0], moved[:, 1])


def test_diffaugment_is_what_its_definition_says():
    image = photo(16, 3, 2)
    values = {
        "light": jnp.asarray([0.2, 0.0]),
        "vividness": jnp.asarray([1.7, 0.0]),
        "spread": jnp.asarray([0.6, 1.5]),
        "shift": jnp.asarray([[2, -1], [0, 2]]),
        "cutout": jnp.full(2, 0.5),
        "cutout_center": jnp.asarray([[4, 8], [16, 0]]) / 16,
    }
    got = augment(image, values)
    for i in range(2):
        x = image[i].astype(float) + float(values["light"][i])
        gray = x.mean(axis=2, keepdims=True)
        x = (x - gray) * float(values["vividness"][i]) + gray
        x = (x - x.mean()) * float(values["spread"][i]) + x.mean()
        right, down = map(int, values["shift"][i])
        far = np.pad(x, ((4, 4), (4, 4), (0, 0)))
        x = far[4 - down :, 4 - right :][:16, :16]
        if i == 0:
            x[4:12, 0:8] = 0
        else:
            x[0:4, 12:] = 0
        np.testing.assert_allclose(got[i], x, atol=1e-5)


def test_diffaugment_draws_its_ranges():
    values = diffaugment.draw(jax.random.key(0), (4000, 16, 16, 3))
    ranges = {"light": (-0.5, 0.5), "vividness": (0, 2), "spread": (0.5, 1.5)}
    ranges |= {"shift": (-2, 2), "cutout_center": (0, 1)}
    for name, (low, high) in ranges.items():
        x = np.asarray(values[name])
        np.testing.assert_allclose([x.min(), x.max()], [low, high], atol=2e-3)
        np.testing.assert_allclose(x.mean(), (low + high) / 2, atol=(high - low) / 30)
