"""Files of codes: what is written is what is read, and nothing else is taken."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from stylegan_jax.errors import UserError
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion.code import Code, StoredCode
from stylegan_jax.inversion.problem import LatentProblem
from stylegan_jax.inversion.terms import PixelTerm


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


WS = np.zeros((1, 4, 12))


@pytest.mark.parametrize(
    ("arrays", "metadata", "message"),
    [
        ({"ws": WS}, {"kind": "else"}, "not a code"),
        ({"w": WS}, {}, "not a code"),
        ({"ws": WS[0]}, {}, "other axes"),
        ({"ws": WS, "noise.1": np.zeros((1, 4, 4, 1))}, {}, "missing"),
        ({"ws": WS * np.nan}, {}, "ws is not of finite numbers"),
        ({"ws": WS.astype(int)}, {}, "ws is not of finite numbers"),
        ({"ws": np.zeros((1, 4, 13))}, {}, r"are not \[N, 4, 12\]"),
        ({"ws": WS}, {}, r"noise of \[\].*\[4, 4, 8, 8\] px"),
        ({"ws": WS}, {"about": "{"}, "damaged"),
        (b"hello" * 100, {}, "invert makes codes"),
        (None, {}, "no such file"),
    ],
)
def test_other_files_are_rejected_by_name(
    generator, tmp_path, arrays, metadata, message
):
    path = tmp_path / "x.safetensors"
    if isinstance(arrays, bytes):
        path.write_bytes(arrays)
    elif arrays is not None:
        metadata = {"kind": "stylegan_jax code 1", "about": "{}"} | metadata
        safetensors.numpy.save_file(arrays, path, metadata)
    with pytest.raises(UserError, match=message) as error:
        codes.load(path, generator)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize(
    "shape", [(12,), (1, 12), (4, 12), (1, 4, 12), (3, 4, 12), (3, 1, 12)]
)
def test_codes_of_other_programs_are_read(generator, shape, suffix, tmp_path):
    w = np.random.RandomState(0).randn(*shape)
    path = tmp_path / f"projected_w{suffix}"
    np.save(path, w) if suffix == ".npy" else np.savez(path, w=w, loss=np.ones(3))
    found = codes.load(path, generator)
    count = 3 if shape[0] == 3 else 1
    rows = w.reshape(count, -1, 12)
    expected = np.broadcast_to(rows, (count, 4, 12))
    np.testing.assert_allclose(found.code.ws, expected, rtol=1e-6)
    assert found.code.ws.dtype == np.float32 and found.about == {}
    codes.check(generator, found.code)
    for layer, stored in zip(found.code.noise, generator.noise, strict=True):
        np.testing.assert_array_equal(layer, np.repeat(stored, count, 0))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"w": np.zeros((1, 18, 12))}, r"\[1, 18, 12\] are not \[N, 4, 12\]"),
        ({"w": np.zeros((5, 12))}, r"\[5, 12\] are not .* for one w in all layers"),
        ({"w": np.zeros((4, 512))}, r"\[4, 512\] are not \[N, 4, 12\]"),
        ({"w": np.zeros((4, 12), int)}, "int64 are not finite floats"),
        ({"w": np.full((4, 12), np.nan)}, "not finite floats"),
        ({"w": np.zeros((0, 4, 12))}, "or none"),
        ({"a": np.zeros(12), "b": np.zeros(12)}, "arrays a, b, and none is called w"),
    ],
)
def test_arrays_that_are_no_codes_are_named(generator, arrays, message, tmp_path):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match=rf"x\.npz .*{message}"):
        codes.load(tmp_path / "x.npz", generator)
    if len(arrays) == 1:
        with pytest.raises(UserError, match="of which network"):
            codes.load(tmp_path / "x.npz")


def test_values_with_arrays_are_shown_in_a_line(generator, secret):
    term = PixelTerm(secret.ws)
    problem = LatentProblem(generator, (term,), secret)
    for value in (secret, StoredCode(secret, {"a": 1}), problem, term):
        text = repr(value)
        assert len(text) < 700 and "\n" not in text and "Array(" not in text
    assert repr(secret) == f"Code(ws=float32[3,4,12], noise={noise_text(secret)})"


def noise_text(code):
    return f"<4 arrays, {sum(n.size for n in code.noise)} numbers>"
