"""Edits in the photographs they came from."""

import dataclasses

import numpy as np
import pytest

from stylegan_jax.editing.mixing import concatenate
from stylegan_jax.editing.paste import paste_edit
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.code import StoredCode, draw_pictures
from stylegan_jax.io import images
from tests import tiny


def test_the_difference_lands_where_the_picture_was_cut_out(tmp_path):
    generator = dataclasses.replace(tiny.generator(tiny.MODEL_8), resolution=4)
    before, after = (
        code.replace(noise=code.noise[:2])
        for code in (tiny.code(generator, seed) for seed in (1, 2))
    )
    photo = np.full((10, 12, 3), 128, np.uint8)
    images.write_png(tmp_path / "me.png", photo)
    quad = [[2.5, 1.5], [2.5, 5.5], [6.5, 5.5], [6.5, 1.5]]  # 4 px, unturned
    stored = StoredCode(before, {"quad": quad, "file": str(tmp_path / "me.png")})
    found = paste_edit(generator, after, stored, feather=0.0)
    a, b = (draw_pictures(generator, c)[0].astype(int) for c in (after, before))
    expected = photo.astype(int)
    expected[2:6, 3:7] = np.clip(128 + a - b, 0, 255)
    np.testing.assert_allclose(found, expected, atol=1)
    assert np.abs(a - b).max() > 20

    moved = (tmp_path / "me.png").rename(tmp_path / "you.png")
    expected[2:6, 3:7] = a
    options = {"photograph": moved, "whole": True, "feather": 0.0}
    whole = paste_edit(generator, after, stored, **options)
    np.testing.assert_allclose(whole, expected, atol=1)
    for given, message in [
        ((after, stored), r"me\.png: the photograph .* is not there"),
        ((after, StoredCode(before, {})), "does not say where"),
        ((concatenate([after] * 2), stored), "2 edited and 1 inverted"),
    ]:
        with pytest.raises(UserError, match=message):
            paste_edit(generator, *given)
