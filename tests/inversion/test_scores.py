"""The name of unfinished work."""

import jax.numpy as jnp

from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.inversion import resuming
from stylegan_jax.inversion.objective import FeatureNets


def network(scale, name="means"):
    params = {"scale": jnp.array([scale])}
    return FrozenNetwork(
        name, 3, params, lambda params, x: params["scale"][None] * x.mean((1, 2))
    )


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
