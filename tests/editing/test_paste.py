"""Edits in the photographs they came from."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.editing.paste import paste_edit
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.code import Code, StoredCode, draw_pictures, stored_noise
from stylegan_jax.io import images
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import init_generator

MODEL = ModelConfig(
    resolution=8, z_dim=6, w_dim=8, mapping_layers=1, channel_base=16, channel_max=4
)


@pytest.fixture(scope="module")
def generator():
    made = jax.jit(init_generator, static_argnums=1)(jax.random.key(0), MODEL)
    return dataclasses.replace(made, resolution=4)


def codes_of(generator, *seeds):
    shape = (1, MODEL.num_ws, MODEL.w_dim)
    ws = [jax.random.normal(jax.random.key(seed), shape) for seed in seeds]
    return [Code(w, stored_noise(generator, 1)) for w in ws]


def test_the_difference_lands_where_the_picture_was_cut_out(generator, tmp_path):
    before, after = codes_of(generator, 1, 2)
    photo = np.full((10, 12, 3), 128, np.uint8)
    images.write_png(tmp_path / "me.png", photo)
    quad = [[2.5, 1.5], [2.5, 5.5], [6.5, 5.5], [6.5, 1.5]]  # 4 px, unturned
    about = {"quad": quad, "file": str(tmp_path / "me.png")}
    found = paste_edit(generator, after, StoredCode(before, about), feather=0.0)
    a, b = (draw_pictures(generator, c)[0].astype(int) for c in (after, before))
    expected = photo.astype(int)
    expected[2:6, 3:7] = np.clip(128 + a - b, 0, 255)
    np.testing.assert_allclose(found, expected, atol=1)
    assert np.abs(a - b).max() > 20

    moved = (tmp_path / "me.png").rename(tmp_path / "you.png")
    stored = StoredCode(before, about)
    with pytest.raises(UserError, match=r"me\.png: the photograph .* is not there"):
        paste_edit(generator, after, stored)
    expected[2:6, 3:7] = a
    whole = paste_edit(
        generator, after, stored, photograph=moved, whole=True, feather=0.0
    )
    np.testing.assert_allclose(whole, expected, atol=1)


def test_other_codes_are_refused(generator):
    before, after = codes_of(generator, 1, 2)
    with pytest.raises(UserError, match="does not say where"):
        paste_edit(generator, after, StoredCode(before, {}))
    two = jax.tree.map(lambda x: jnp.concatenate([x, x]), after)
    with pytest.raises(UserError, match="2 edited and 1 inverted"):
        paste_edit(generator, two, StoredCode(before, {}))
