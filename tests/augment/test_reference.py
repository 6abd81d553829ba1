"""Numbers of the reference implementation, NVlabs/stylegan2-ada-pytorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import erfinv

from stylegan_jax.augment.pipeline import augment
from stylegan_jax.augment.values import PIPES


def at_percentile(names, q, count):
    """The values that the reference takes in its debugging mode."""
    normal = float(erfinv(2 * q - 1))
    uniform = 2 * q - 1
    ones = {
        "xflip": np.floor(2 * q),
        "rotate90": np.floor(4 * q),
        "xint": uniform * 0.125,
        "scale": 2 ** (normal * 0.2),
        "rotate": uniform * np.pi,
        "aniso": 2 ** (normal * 0.2),
        "xfrac": normal * 0.125,
        "brightness": normal * 0.2,
        "contrast": 2 ** (normal * 0.5),
        "lumaflip": np.floor(2 * q),
        "hue": uniform * np.pi,
        "saturation": 2**normal,
        "imgfilter": 2**normal,
        "cutout": 0.5,
    }
    parts = {"xint": 2, "xfrac": 2, "imgfilter": 4}
    values = {
        name: jnp.full((count, parts[name]) if name in parts else count, ones[name])
        for name in names
    }
    if "cutout" in values:
        values["cutout_center"] = jnp.full((count, 2), q)
    return values


@pytest.fixture(scope="module")
def reference(shared_dir):
    return np.load(shared_dir / "reference" / "augment" / "augment.npz")


def nhwc(array):
    return jnp.transpose(jnp.asarray(array), (0, 2, 3, 1))


@pytest.mark.thorough
@pytest.mark.parametrize("size", ["16x1", "16x3", "32x3"])
def test_images_and_gradients_agree(reference, size):
    images = nhwc(reference[f"{size}/input_nchw"])
    shape = images.shape
    weights = np.linspace(-1, 1, images.size, dtype=np.float32)
    weights = nhwc(weights.reshape(shape[0], shape[3], *shape[1:3]))

    @jax.jit
    def both(values):
        out, pull_back = jax.vjp(lambda x: augment(x, values), images)
        return out, pull_back(weights)[0]

    cases = [
        k for k in reference.files if k.startswith(size) and k.endswith("out_nchw")
    ]
    assert len(cases) >= 54
    for key in cases:
        _, name, q, _ = key.split("/")
        values = at_percentile(PIPES.get(name, (name,)), float(q), len(images))
        out, gradient = both(values)
        np.testing.assert_allclose(out, nhwc(reference[key]), atol=1e-4, err_msg=key)
        wanted = nhwc(reference[key.replace("out_", "grad_")])
        np.testing.assert_allclose(
            gradient, wanted, atol=1e-3 * np.abs(wanted).max(), rtol=0, err_msg=key
        )
