"""Layers and their wiring against float64 NumPy."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.layers import EqualizedDense, StyledLayer
from stylegan_jax.networks.synthesis import SynthesisNetwork

CONFIG = ModelConfig(
    resolution=8, z_dim=6, w_dim=6, mapping_width=6, channel_base=32, channel_max=8
)  # 4 channels at 8 px, 8 channels at 4 and 2 px


def draw(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype("f")


def randomised(tree):
    """Moves every parameter, so that those which start at zero count."""
    leaves, structure = jax.tree.flatten(tree)
    moved = [x + 0.5 * draw(*x.shape, seed=i) for i, x in enumerate(leaves)]
    return jax.tree.unflatten(structure, moved)


def in_float64(tree):
    return jax.tree.map(np.float64, tree)


def conv64(x, kernel):
    y = np.zeros((*x.shape[:3], kernel.shape[3]))
    padded = np.pad(np.float64(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
    for i in range(3):
        for j in range(3):
            y += padded[:, i : i + x.shape[1], j : j + x.shape[2]] @ kernel[i, j]
    return y


def blur64(x):
    row = np.array([1, 2, 1]) / 4
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [
        row[i] * row[j] * padded[:, i : i + x.shape[1], j : j + x.shape[2]]
        for i in range(3)
        for j in range(3)
    ]
    return np.sum(taps, axis=0)


def upsample64(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


def downsample64(x):
    n, h, w, c = x.shape
    return np.float64(x).reshape(n, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))


def bend64(x):
    return np.where(x >= 0, x, 0.2 * x)


def epilogue64(y, p, w, noise, epsilon=1e-8):
    """Noise, bias, leaky ReLU, instance norm, style."""
    y = bend64(y + noise * p["noise_weight"] + p["bias"])
    y = y - y.mean(axis=(1, 2), keepdims=True)
    y = y / np.sqrt((y**2).mean(axis=(1, 2), keepdims=True) + epsilon)
    style = w @ p["style"]["weight"] / math.sqrt(w.shape[1]) + p["style"]["bias"]
    scale, shift = np.split(style[:, None, None, :], 2, axis=3)
    return y * (scale + 1) + shift


def kernel64(p):
    return p["weight"] * math.sqrt(2 / 27)  # He gain, fan-in 3 * 3 * 3


def up64(x, kernel):
    return conv64(upsample64(x), kernel)


# By name: what is not a default, the kind, and what comes before noise and bias.
LAYERS = {
    "conv": ({}, "conv", lambda p, x, w: conv64(x, kernel64(p))),
    "up": ({"fused_from": 16}, "up", lambda p, x, w: blur64(up64(x, kernel64(p)))),
    "fused": (
        {"fused_from": 8},
        "up",
        lambda p, x, w: blur64(up64(x, kernel64(p)[::-1, ::-1])),
    ),
    "ProGAN's": ({"blur": False}, "up", lambda p, x, w: up64(x, kernel64(p))),
    "bias before blur": (
        {"bias_before_blur": True},
        "up",
        lambda p, x, w: blur64(up64(x, kernel64(p)) + p["bias"]),
    ),
    "no blur for a bias": (
        {"bias_before_blur": True},
        "conv",
        lambda p, x, w: conv64(x, kernel64(p)),
    ),
    "epsilon": (
        {"instance_norm_epsilon": 0.5},
        "conv",
        lambda p, x, w: conv64(x, kernel64(p)),
    ),
    "const": ({}, "const", lambda p, x, w: p["const"].repeat(2, axis=0)),
    # A quarter of the usual gain.
    "dense": (
        {},
        "dense",
        lambda p, x, w: (w @ p["weight"] * (math.sqrt(2 / 6) / 4)).reshape(2, 4, 4, 5),
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize(("changes", "kind", "weights"), LAYERS.values(), ids=LAYERS)
def test_a_layer_is_weights_noise_bias_bend_normalisation_and_style(
    changes, kind, weights
):
    config = dataclasses.replace(CONFIG, **changes)
    layer = StyledLayer(config, features=5, kind=kind)
    x = {"conv": draw(2, 8, 8, 3), "up": draw(2, 4, 4, 3)}.get(kind)
    size = 4 if x is None else 8
    w, noise = draw(2, 6, seed=1), draw(2, size, size, 1, seed=2)
    start = layer.init(jax.random.key(0), x, w, noise)["params"]
    if kind == "const":
        np.testing.assert_array_equal(start["const"], np.ones((1, 4, 4, 5)))
    params = randomised(start)
    actual = jax.jit(layer.apply)({"params": params}, x, w, noise)
    p = in_float64(params)
    early = changes.get("bias_before_blur") and kind == "up"
    rest = p | {"bias": 0} if early else p
    epsilon = config.instance_norm_epsilon
    expected = epilogue64(weights(p, x, w), rest, w, noise, epsilon)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_weights_start_with_deviation_one_and_mapping_weights_with_a_hundred():
    for lr_multiplier, deviation in ((1.0, 1.0), (0.01, 100.0)):
        layer = EqualizedDense(200, lr_multiplier=lr_multiplier)
        params = layer.init(jax.random.key(0), jnp.zeros((1, 100)))["params"]
        np.testing.assert_allclose(params["weight"].std(), deviation, rtol=0.02)
        assert not np.any(params["bias"])


@pytest.mark.thorough
def test_each_layer_of_the_synthesis_has_its_own_latent_and_noise():
    network = SynthesisNetwork(CONFIG)
    ws = draw(2, 4, 6, seed=3)
    noise = [draw(2, size, size, 1, seed=size + i) for size in (4, 8) for i in (0, 1)]
    params = network.init(jax.random.key(0), ws, noise, resolution=8)["params"]
    params = randomised(params)
    apply = jax.jit(network.apply, static_argnames="resolution")
    actual = apply({"params": params}, ws, noise, resolution=8, alpha=jnp.float32(0.3))
    p = in_float64(params)

    def to_rgb(name, x):
        weight = p[name]["weight"][0, 0]
        return x @ weight / math.sqrt(len(weight)) + p[name]["bias"]

    block = p["block4"]
    x = block["const"]["const"].repeat(2, axis=0)
    x = epilogue64(x, block["const"], ws[:, 0], noise[0])
    x = conv64(x, block["conv"]["weight"]) * math.sqrt(2 / 72)
    x = epilogue64(x, block["conv"], ws[:, 1], noise[1])
    coarse = upsample64(to_rgb("to_rgb4", x))
    block = p["block8"]
    x = blur64(conv64(upsample64(x), block["conv0"]["weight"])) * math.sqrt(2 / 72)
    x = epilogue64(x, block["conv0"], ws[:, 2], noise[2])
    x = conv64(x, block["conv1"]["weight"]) * math.sqrt(2 / 36)
    x = epilogue64(x, block["conv1"], ws[:, 3], noise[3])
    expected = coarse + 0.3 * (to_rgb("to_rgb8", x) - coarse)
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.thorough
@pytest.mark.parametrize("strided", [True, False])
def test_the_discriminator_is_its_definition(strided):
    config = dataclasses.replace(CONFIG, mbstd_group_size=3, label_size=2)
    network = Discriminator(config, strided_groups=strided)
    images, labels = draw(6, 8, 8, 3), np.eye(2, dtype="f")[[0, 1, 1, 0, 1, 0]]
    params = network.init(jax.random.key(0), images, labels)["params"]
    params = randomised(params)
    apply = jax.jit(network.apply)
    actual = apply({"params": params}, images, labels, alpha=jnp.float32(0.3))
    p = in_float64(params)

    def from_rgb(name, x):
        weight = p[name]["weight"][0, 0] * math.sqrt(2 / 3)
        return bend64(x @ weight + p[name]["bias"])

    x, block = from_rgb("from_rgb8", images), p["block8"]
    x = conv64(x, block["conv0"]["weight"]) * math.sqrt(2 / 36)
    x = blur64(bend64(x + block["conv0"]["bias"]))
    x = downsample64(conv64(x, block["conv1"]["weight"])) * math.sqrt(2 / 36)
    x = bend64(x + block["conv1"]["bias"])
    coarse = from_rgb("from_rgb4", downsample64(images))
    x = coarse + 0.3 * (x - coarse)

    groups = [[0, 2, 4], [1, 3, 5]] if strided else [[0, 1, 2], [3, 4, 5]]
    statistic = np.zeros((6, 4, 4, 1))
    for group in groups:
        statistic[group] = np.sqrt(x[group].var(axis=0) + 1e-8).mean()
    x, block = np.concatenate([x, statistic], axis=3), p["block4"]
    x = conv64(x, block["conv"]["weight"]) * math.sqrt(2 / 81)
    x = bend64(x + block["conv"]["bias"]).reshape(6, 128)
    x = x @ block["dense0"]["weight"] * math.sqrt(2 / 128)
    x = bend64(x + block["dense0"]["bias"])
    x = x @ block["dense1"]["weight"] * math.sqrt(1 / 8) + block["dense1"]["bias"]
    expected = (x * labels).sum(axis=1)
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3)
