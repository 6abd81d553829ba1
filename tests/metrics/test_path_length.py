import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.metrics import path_length as module
from stylegan_jax.metrics.draws import LabelDistribution
from stylegan_jax.metrics.path_length import (
    crop_face,
    path_distances,
    path_length,
    trimmed_mean,
)
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import init_generator
from tests import tiny


def squared(a, b):
    return jnp.sum(jnp.square(a - b), axis=(1, 2, 3))


@pytest.fixture(scope="module")
def small():
    return tiny.generator(tiny.MODEL_8)


@pytest.fixture(scope="module")
def linear():
    """A generator that is a matrix `[3, 8]`: hidden units come in opposite pairs.

    Leaky ReLU of x less that of -x is 1.2 x.
    """
    config = ModelConfig(
        resolution=1,
        num_channels=3,
        z_dim=8,
        w_dim=8,
        mapping_layers=0,
        use_styles=False,
        use_noise=False,
        mlp_layers=1,
        mlp_width=16,
    )
    generator = init_generator(jax.random.key(0), config)
    synthesis = jax.tree.map(np.array, generator.params["synthesis"])
    for name, axis in (("dense0", 1), ("output", 0)):
        half = np.split(synthesis[name]["weight"], 2, axis)[0]
        synthesis[name]["weight"] = np.concatenate([half, -half], axis)
    generator = generator.replace(params={"mapping": {}, "synthesis": synthesis})
    unit = np.eye(8, dtype=np.float32)[:, None]
    zero = generator.synthesize(np.zeros_like(unit))
    matrix = np.asarray(generator.synthesize(unit) - zero)[:, 0, 0].T
    return generator, matrix.astype(np.float64)


@pytest.mark.parametrize("space", ["z", "w"])
@pytest.mark.parametrize("sampling", ["full", "end"])
def test_equals_the_reference_numbers(shared_dir, space, sampling):
    with np.load(shared_dir / "reference" / "metrics" / "ppl.npz") as file:
        data = dict(file)
    t = data["t"] if sampling == "full" else np.zeros_like(data["t"])
    with jax.enable_x64(True):
        first, second = jnp.asarray(data["mapping_B"]), jnp.asarray(data["synthesis_A"])
        found = path_distances(
            lambda z: (z @ first.T)[:, None],
            lambda ws: (ws[:, 0] @ second.T)[:, :, None, None],
            squared,
            tuple(jnp.asarray(x) for x in (data["z0"], data["z1"], t)),
            space=space,
            crop=False,
        )
    found = np.asarray(found)
    assert found.dtype == np.float64
    of = f"{space}_{sampling}"
    np.testing.assert_allclose(found, data[f"{of}/per_sample"], rtol=1e-6)
    assert trimmed_mean(found) == pytest.approx(float(data[f"{of}/ppl"]), rel=1e-6)
    closed = float(data[f"{of}/ppl_closed_form"])
    assert trimmed_mean(found) == pytest.approx(closed, rel=1e-4)


def test_trims_as_the_reference(shared_dir):
    with np.load(shared_dir / "reference" / "metrics" / "ppl.npz") as file:
        values, expected = file["clip/values"], file["clip/mean_lo_hi_count"]
    assert trimmed_mean(values) == pytest.approx(expected[0], rel=1e-12)


def test_percentiles_are_values_of_the_set_and_stay_in_it():
    # Of 0..150 in any order, the 1st percentile is at 1.5, the 99th at 148.5.
    values = np.random.RandomState(0).permutation(151).astype(float)
    values[values == 150] = 1e9
    assert trimmed_mean(values) == np.mean(np.arange(1, 150))
    values[3] = np.nan
    with pytest.raises(UserError, match=r"path 3 are not finite \(1 of 151"):
        trimmed_mean(values)


@pytest.mark.thorough
@pytest.mark.parametrize("sampling", ["full", "end"])
def test_straight_paths_through_a_matrix_have_the_length_of_its_image(linear, sampling):
    generator, matrix = linear
    found = path_length(
        generator, squared, sampling=sampling, crop=False, count=400, batch_size=100
    )
    z0, z1 = inputs(seed=0, count=400, z_dim=8)
    w0, w1 = (math.sqrt(8) * unit(z) for z in (z0, z1))
    expected = np.square((w1 - w0) @ matrix.T).sum(axis=1)
    np.testing.assert_allclose(found.distances, expected, rtol=0.01, atol=0.01)
    assert found.score == pytest.approx(trimmed_mean(expected), rel=1e-3)


def test_great_circles_through_a_matrix_have_the_length_of_its_image(linear):
    generator, matrix = linear
    options = {"space": "z", "sampling": "end", "crop": False}
    found = path_length(generator, squared, count=400, batch_size=100, **options)
    z0, z1 = (unit(z) for z in inputs(seed=0, count=400, z_dim=8))
    cosine = np.sum(z0 * z1, axis=1, keepdims=True)
    tangent = np.arccos(cosine) * unit(z1 - cosine * z0)
    expected = 8 * np.square(tangent @ matrix.T).sum(axis=1)
    assert found.score == pytest.approx(trimmed_mean(expected), rel=1e-3)


@pytest.mark.parametrize("space", [pytest.param("z", marks=pytest.mark.thorough), "w"])
def test_neither_devices_nor_batches_change_the_score(small, space):
    def measure(devices, batch_size):
        mesh = parallel.make_mesh(devices)
        options = {"count": 30, "mesh": mesh, "batch_size": batch_size}
        return path_length(small, squared, space=space, **options)

    one = measure(1, 1)
    assert one.distances.shape == (30,) and np.all(one.distances > 0)
    # What is rounded in z, 6e-8, is 6e-4 of a step of 1e-4, and a compiled function
    # rounds one path alone otherwise than thirty side by side.
    rtol = {"z": 1e-2, "w": 1e-6}[space]
    for other in (measure(1, 30), measure(4, 9)):
        np.testing.assert_allclose(other.distances, one.distances, rtol=rtol)
        assert other.score == pytest.approx(one.score, rel=rtol / 4)


def test_both_images_of_a_path_have_the_same_noise(small):
    def seen(a, b):
        return jnp.mean(jnp.square(a - b), axis=(1, 2, 3)) * module.EPSILON**2

    found = path_length(small, seen, count=8)
    assert found.distances.max() < 1e-4
    silent = small.replace(noise=jax.tree.map(jnp.zeros_like, small.noise))
    again = path_length(silent, seen, count=8)
    np.testing.assert_array_equal(again.distances, found.distances)  # not the stored


@pytest.mark.thorough
def test_bfloat16_networks_are_measured_in_float32(small):
    low = small.replace(config=dataclasses.replace(small.config, dtype="bfloat16"))
    expected = path_length(small, squared, count=8)
    np.testing.assert_array_equal(
        path_length(low, squared, count=8).distances, expected.distances
    )


@pytest.mark.thorough
def test_conditional_networks_get_one_random_class_per_path():
    generator = tiny.generator(dataclasses.replace(tiny.MODEL_8, label_size=3))
    found = path_length(
        generator, squared, space="z", count=8, labels=LabelDistribution.even(3)
    )
    assert np.all(np.isfinite(found.distances))
    # A change of class within a path would be 1e8 times as large.
    assert found.distances.max() < 1e6
    with pytest.raises(UserError, match="this network has 3 classes: pass labels"):
        path_length(generator, squared, count=8)


def test_crops_the_face_and_shrinks_to_256_pixels():
    rows, columns = np.meshgrid(np.arange(1024), np.arange(1024), indexing="ij")
    image = jnp.asarray(np.stack([rows, columns], -1)[None], jnp.float32)
    face = np.asarray(crop_face(image))[0]
    assert face.shape == (512, 512, 2)
    assert face[0, 0].tolist() == [384, 256] and face[-1, -1].tolist() == [895, 767]
    seen = []

    def record(a, b):
        seen.append(a)
        return jnp.zeros(len(a))

    paths = (jnp.ones((1, 2)), -jnp.ones((1, 2)), jnp.zeros(1))
    for crop in (True, False):
        path_distances(
            lambda z: z[:, None],
            lambda ws: jnp.concatenate([image, image]),
            record,
            paths,
            space="w",
            crop=crop,
        )
    assert [x.shape for x in seen] == [(1, 256, 256, 2)] * 2
    assert seen[0][0, 0, 0].tolist() == [384.5, 256.5]
    assert seen[1][0, 0, 1].tolist() == [1.5, 5.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": "W"}, "`space` 'W' and .* z or w, and full or end"),
        ({"sampling": "start"}, "`sampling` 'start'"),
        ({"distance": lambda a, b: jnp.sum(a - b)}, r"gave shape \(\) for 4 pairs"),
        ({"count": 0}, "count is 0"),
    ],
)
def test_mistakes_are_explained(small, options, message):
    with pytest.raises(UserError, match=message):
        path_length(small, **{"distance": squared, "count": 4} | options)


def test_points_cannot_be_cropped(linear):
    with pytest.raises(UserError, match="images of 1 px are too small to crop"):
        path_length(linear[0], squared, count=4)


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def inputs(seed, count, z_dim):
    """What a metric draws, one sample after another."""
    ends = []
    for i in range(count):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), i), 5)
        ends.append([jax.random.normal(key, (z_dim,)) for key in keys[:2]])
    return np.asarray(ends, np.float64).transpose(1, 0, 2)
