"""Photographs are inverted in the class that is given, where there are classes."""

import dataclasses

import jax
import numpy as np
import pytest

from stylegan_jax.commands import edit
from stylegan_jax.editing import workbench
from stylegan_jax.errors import UserError
from stylegan_jax.interop import exported
from stylegan_jax.io import images
from stylegan_jax.networks.generator import init_generator
from tests.metrics.measuring import MODEL


@pytest.fixture
def words(tmp_path):
    model = dataclasses.replace(MODEL, label_size=3)
    made = jax.jit(init_generator, static_argnums=1)(jax.random.key(0), model)
    exported.save(tmp_path / "net.safetensors", made)
    images.write_png(tmp_path / "me.png", np.full((8, 8, 3), 128, np.uint8))
    words = ["reconstruct", tmp_path / "net.safetensors", tmp_path / "me.png"]
    words += ["--outdir", tmp_path / "out", "--perceptual", "none"]
    words += ["--w-steps", "2", "--noise-steps", "0"]
    return [str(word) for word in words]


def test_a_photograph_is_inverted_in_its_class(words, tmp_path, monkeypatch):
    given = []
    invert = workbench.invert

    def noted(*args, labels, **options):
        given.append(labels)
        return invert(*args, labels=labels, **options)

    monkeypatch.setattr(workbench, "invert", noted)
    edit.main([*words, "--class", "2"])
    np.testing.assert_array_equal(given, [[[0, 0, 1]]])
    assert (tmp_path / "out" / "me.png").exists()


def test_a_class_that_is_missing_or_unknown_is_told(words, tmp_path):
    with pytest.raises(UserError, match=r"--class is missing: .* 3 classes, 0 to 2"):
        edit.main(words)
    with pytest.raises(UserError, match="--class 3 is unknown"):
        edit.main([*words, "--class", "3"])
    assert not (tmp_path / "out" / "me.safetensors").exists()
