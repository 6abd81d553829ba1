"""Files of codes: what is written is what is read, and nothing else is taken."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from stylegan_jax.common.errors import UserError
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion.code import Code


def test_a_file_holds_the_code_and_what_is_known_of_it(generator, secret, tmp_path):
    path = tmp_path / "one.safetensors"
    about = {"seed": 3, "recipe": {"space": "w+", "rates": [0.01, 5.0]}, "class": None}
    codes.save(path, secret, about)
    found = codes.load(path, generator)
    assert found.about == about
    np.testing.assert_array_equal(found.code.ws, secret.ws)
    for a, b in zip(found.code.noise, secret.noise, strict=True):
        np.testing.assert_array_equal(a, b)
    one = found.code[1:2]
    assert len(one) == 1 and one.noise[3].shape == (1, 8, 8, 1)
    np.testing.assert_array_equal(one.ws[0], secret.ws[1])


def test_a_growing_network_has_noise_for_its_active_layers(generator):
    growing = dataclasses.replace(generator, resolution=4)
    noise = codes.stored_noise(growing, 2)
    assert [layer.shape for layer in noise] == [(2, 4, 4, 1)] * 2
    codes.check(growing, Code(jnp.zeros((2, 4, 12)), noise))


def write(path, arrays, **metadata):
    metadata = {"kind": "stylegan_jax code 1", "about": "{}"} | metadata
    safetensors.numpy.save_file(arrays, path, metadata)


@pytest.mark.parametrize(
    ("arrays", "metadata", "message"),
    [
        ({"ws": np.zeros((1, 4, 12))}, {"kind": "else"}, "not a code"),
        ({"w": np.zeros((1, 4, 12))}, {}, "not a code"),
        ({"ws": np.zeros((1, 4))}, {}, "other axes"),
        (
            {"ws": np.zeros((1, 4, 12)), "noise.1": np.zeros((1, 4, 4, 1))},
            {},
            "missing",
        ),
        ({"ws": np.full((1, 4, 12), np.nan)}, {}, "ws is not of finite numbers"),
        ({"ws": np.zeros((1, 4, 12), int)}, {}, "ws is not of finite numbers"),
        ({"ws": np.zeros((1, 4, 13))}, {}, r"takes \[N, 4, 12\]"),
        ({"ws": np.zeros((1, 4, 12))}, {}, r"noise of \[\].*\[4, 4, 8, 8\] px"),
        ({"ws": np.zeros((1, 4, 12))}, {"about": "{"}, "damaged"),
    ],
)
def test_other_files_are_refused_by_name(
    generator, tmp_path, arrays, metadata, message
):
    path = tmp_path / "x.safetensors"
    write(path, arrays, **metadata)
    with pytest.raises(UserError, match=message) as error:
        codes.load(path, generator)
    assert str(path) in str(error.value)


def test_missing_and_broken_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        codes.load(tmp_path / "none")
    (tmp_path / "x").write_bytes(b"hello" * 100)
    with pytest.raises(UserError, match="not a code or is damaged"):
        codes.load(tmp_path / "x")
