import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from stylegan_jax.features.extractor import FrozenNetwork


@pytest.fixture
def means():
    """The scaled mean of every channel; and how often it was traced."""
    traced = []

    def function(params, images):
        traced.append(images.shape)
        return params["scale"] * images.astype(jnp.float32).mean((1, 2))

    return FrozenNetwork("means", 3, {"scale": jnp.float32(2)}, function), traced


def test_it_turns_images_into_vectors_and_compiles_once_per_shape(means):
    network, traced = means
    images = np.random.RandomState(0).randint(256, size=(4, 5, 6, 3), dtype=np.uint8)
    network(images)
    with jax.transfer_guard("disallow"):  # as in the loop of training
        found = network(images)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, 2 * images.mean((1, 2)), rtol=1e-6)
    np.testing.assert_array_equal(network(jnp.asarray(images)), found)
    assert traced == [(4, 5, 6, 3)]
    assert repr(network) == "FrozenNetwork(name='means', size=3)"


def test_images_may_be_spread_over_devices(means):
    images = np.random.RandomState(0).randint(256, size=(8, 5, 6, 3), dtype=np.uint8)
    mesh = jax.make_mesh((4,), ("data",))
    spread = jax.device_put(images, NamedSharding(mesh, PartitionSpec("data")))
    found = means[0](spread)
    assert len(found.sharding.device_set) == 4
    np.testing.assert_allclose(found, 2 * images.mean((1, 2)), rtol=1e-6)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 4, 4, 3), np.float32),
        np.zeros((1, 4, 4, 1), np.uint8),
        np.zeros((4, 4, 3), np.uint8),
    ],
)
def test_other_images_are_an_error_that_says_what_to_do(means, images):
    with pytest.raises(ValueError, match=r"means was given .* takes uint8 \[N, H, W"):
        means[0](images)
