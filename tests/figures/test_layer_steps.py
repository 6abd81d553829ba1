"""The steps of a layer against float64 NumPy, and where the figure shows them."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.figures import layer_steps
from stylegan_jax.figures.studio import Studio, as_signed
from stylegan_jax.networks.synthesis import SynthesisNetwork
from tests import tiny


def conv64(x, kernel):
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    size = x.shape[0]
    return sum(
        padded[i : i + size, j : j + size] @ kernel[i, j]
        for i in range(3)
        for j in range(3)
    )


def blur64(x):
    row = np.array([1, 2, 1]) / 4
    kernel = np.einsum("i,j,cd->ijcd", row, row, np.eye(x.shape[2]))
    return conv64(x, kernel)


def oracle(generator, ws, layer, name, x):
    """The steps of equation 1 of the paper, with its noise and bias."""
    size = 2 ** (layer // 2 + 2)
    params = generator.params["synthesis"][f"block{size}"][name]
    noise = np.float64(generator.noise[layer][0])
    if name == "const":
        y = np.float64(params["const"][0])
    else:
        kernel = np.float64(params["weight"])
        kernel = kernel * math.sqrt(2 / (9 * kernel.shape[2]))
        up = name == "conv0"
        y = conv64(x.repeat(2, 0).repeat(2, 1) if up else x, kernel)
        y = blur64(y) if up else y
    factor = np.float64(params["noise_weight"])
    found = {"weights": y, "noise": noise + 0 * y, "factor": factor + 0 * y}
    found["scaled_noise"] = factor * noise
    found["noisy"] = y + factor * noise
    bent = found["noisy"] + np.float64(params["bias"])
    found["activated"] = np.where(bent > 0, bent, 0.2 * bent)
    centred = found["activated"] - found["activated"].mean((0, 1))
    variance = (centred**2).mean((0, 1))
    found["normalised"] = centred / np.sqrt(variance + 1e-8)
    weight = np.float64(params["style"]["weight"]) / math.sqrt(len(ws[layer]))
    style = ws[layer] @ weight + np.float64(params["style"]["bias"])
    scale, shift = style[: len(style) // 2], style[len(style) // 2 :]
    found["styled"] = (1 + scale) * found["normalised"] + shift
    return found


@pytest.mark.parametrize(("layer", "name"), [(0, "const"), (3, "conv1"), (4, "conv0")])
def test_the_steps_are_noise_bias_bend_normalisation_and_style(generator, layer, name):
    ws = np.random.RandomState(1).randn(6, 6).astype("f")
    before = None
    if layer:
        before = np.float64(generator.features(ws[None], layers=layer)[0])
    expected = oracle(generator, np.float64(ws), layer, name, before)
    found = layer_steps.steps(generator, ws[None], layer=layer)
    assert set(found) == set(expected)
    for step, values in expected.items():
        assert values.std() > 0.05, step
        np.testing.assert_allclose(found[step], values, atol=2e-4, err_msg=step)


def test_the_figure_shows_the_chosen_channels_after_each_step(studio, cells):
    layer_steps.layer(studio, 5, number=4, channels=[6, 1])
    (shown,) = cells
    assert len(shown) == 2 * 8
    maps = layer_steps.steps(studio.generator, studio.ws([5]), layer=3)
    columns = [column.step for column in layer_steps._COLUMNS]
    normal = [maps[step][..., [6, 1]] for step in ("normalised", "styled")]
    span = max(np.quantile(np.abs(x), 0.99) for x in normal)
    for row, channel in enumerate([6, 1]):
        for step in ("normalised", "styled"):
            picture = shown[8 * row + columns.index(step)]
            expected = as_signed(maps[step][..., channel], span)
            np.testing.assert_array_equal(picture, expected)
        flat = shown[8 * row + columns.index("factor")]
        assert (flat == flat[0, 0]).all() and (flat[0, 0] != 255).any()


def test_without_channels_those_with_most_noise_are_shown(studio, monkeypatch):
    labels = {}
    page = Studio.page
    monkeypatch.setattr(
        Studio, "page", lambda *args, **kw: (labels.update(kw), page(*args, **kw))[1]
    )
    layer_steps.layer(studio, 5, number=4)
    maps = layer_steps.steps(studio.generator, studio.ws([5]), layer=3)
    share = maps["scaled_noise"].std((0, 1)) / maps["weights"].std((0, 1))
    best = sorted(sorted(range(8), key=lambda i: share[i])[-4:])
    assert labels["row_labels"] == [f"channel {i}" for i in best]
    assert labels["column_groups"] == [("", 1), ("noise", 4), ("", 1), ("AdaIN", 2)]


def test_networks_without_noise_have_fewer_steps_and_mistakes_are_explained(generator):
    config = dataclasses.replace(generator.config, use_noise=False)
    quiet = Studio(generator.replace(config=config), cell=16)
    found = layer_steps.steps(quiet.generator, quiet.ws([0]), layer=5)
    assert [*found] == ["activated", "normalised", "styled", "weights"]
    assert layer_steps.layer(quiet, 0, number=6).std() > 10
    with pytest.raises(UserError, match="`layer` 7: this network has layers 1 to 6"):
        layer_steps.layer(quiet, 0, number=7)
    with pytest.raises(UserError, match=r"`channels` \[0, 8\]: layer 6 has 0 to 7"):
        layer_steps.layer(quiet, 0, number=6, channels=[0, 8])


def test_training_and_sampling_keep_no_steps(generator):
    ws = np.zeros((1, 6, 6), "f")
    noise = generator.noise
    network, key = SynthesisNetwork(tiny.MODEL), jax.random.key(0)
    variables = jax.eval_shape(lambda: network.init(key, ws, noise, resolution=16))
    assert [*variables] == ["params"]


def test_colours_of_numbers():
    values = np.array([[-2.0, -1.0, 0.0, 0.5, 1.0]])
    found = as_signed(values, 1.0)[0]
    blue, red = [33, 102, 172], [178, 24, 43]
    assert found.tolist() == [blue, blue, [255] * 3, [216, 140, 149], red]
    assert (as_signed(values * 0, 0.0) == 255).all()
