"""Scores of results, and what tells unfinished work apart."""

import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.inversion import resuming, scores
from stylegan_jax.inversion.objective import FeatureNets


def network(scale, name="means"):
    params = {"scale": jnp.array([scale])}
    return FrozenNetwork(
        name, 3, params, lambda params, x: params["scale"][None] * x.mean((1, 2))
    )


def test_scores_are_those_of_metrics_in_a_line():
    random = np.random.RandomState(0)
    target, picture = random.randint(0, 256, (2, 12, 12, 3)).astype(np.uint8)
    found = scores.score(picture, target, None, network(2.0))
    error = np.mean((picture.astype(float) - target) ** 2)
    assert found["psnr"] == pytest.approx(10 * np.log10(255**2 / error), rel=1e-5)
    a, b = (x.reshape(-1, 3).mean(0) for x in (picture, target))
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert found["identity"] == pytest.approx(cosine, rel=1e-5)
    line = scores.text(found)
    assert line.startswith(
        f"PSNR dB {found['psnr']:.2f}, SSIM {found['ssim_gaussian']:.4f}"
    )
    assert line.endswith(f"identity {cosine:.4f}") and "uniform" not in line


def test_other_weights_of_other_networks_are_other_work():
    assert list(FeatureNets().contents()) == []
    one = {"weight": jnp.arange(4.0)}
    other = {"weight": jnp.arange(4.0).at[2].set(9.0)}
    features = [
        FeatureNets(),
        FeatureNets(vgg16=one),
        FeatureNets(vgg16=other),
        FeatureNets(lpips=one),
        FeatureNets(own=network(1.0)),
        FeatureNets(own=network(2.0)),
        FeatureNets(own=network(1.0, "others")),
    ]
    names = [resuming.identity(some.contents()) for some in features]
    assert len(set(names)) == len(names)
    assert resuming.identity(FeatureNets(vgg16=dict(one)).contents()) == names[1]
