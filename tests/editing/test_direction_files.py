import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy

from stylegan_jax.editing.direction_files import (
    load_directions,
    parse_boundary_name,
    read_boundary,
    save_directions,
)
from stylegan_jax.editing.directions import Direction, condition
from stylegan_jax.errors import UserError
from tests import tiny


def test_files_give_back_every_field(tmp_path):
    deep = Direction(name="by layer", vector=np.random.RandomState(0).randn(4, 6))
    said = {"intercept": 0.5, "provenance": "of a test"}
    written = [*tiny.directions(), dataclasses.replace(deep, **said)]
    path = tmp_path / "directions.safetensors"
    save_directions(path, written)
    for before, after in zip(written, load_directions(path), strict=True):
        np.testing.assert_allclose(after.vector, before.vector, rtol=0, atol=1e-15)
        assert after.intercept == pytest.approx(before.intercept, rel=1e-12)
        for field in ("name", "space", "layers", "std", "provenance"):
            assert getattr(after, field) == getattr(before, field)


def test_names_of_boundaries():
    for stem, *expected in [
        ("stylegan_ffhq_age_w_boundary", "age", "w"),
        ("pggan_celebahq_quality_boundary", "quality", "z"),
        ("stylegan_ffhq_age_c_gender_boundary", "age_c_gender", "z"),
        ("m_gender_c_age_eyeglasses_w_boundary", "gender_c_age_eyeglasses", "w"),
        ("smile", "smile", None),
        ("boundary", "boundary", None),
        ("age_boundary", "age_boundary", None),
        ("m_age_c_boundary", "m_age_c_boundary", None),
    ]:
        assert parse_boundary_name(stem) == tuple(expected)


def test_public_boundaries_are_read(shared_dir):
    folder = shared_dir / "data" / "weights" / "interfacegan_boundaries"
    found = {(d.provenance, d.name): d for d in load_directions(folder)}
    assert len(found) == 24
    raw = np.load(folder / "stylegan_ffhq_age_c_gender_boundary.npy")
    age = found["stylegan_ffhq_age_c_gender_boundary.npy", "age_c_gender"]
    assert age.space == "z" and age.intercept == 0 and age.vector.shape == (512,)
    np.testing.assert_allclose(age.vector, raw[0], rtol=0, atol=1e-7)
    smile = read_boundary(folder / "stylegan_ffhq_smile_w_boundary.npy")
    assert (smile.name, smile.space) == ("smile", "w")
    # The conditional ones are what our projection makes of the others.
    for primary, other in [("age", "gender"), ("eyeglasses", "age")]:
        a, b, published = (
            read_boundary(folder / f"stylegan_ffhq_{name}_boundary.npy")
            for name in (primary, other, f"{primary}_c_{other}")
        )
        ours = condition(a, [b])
        np.testing.assert_allclose(ours.vector, published.vector, rtol=0, atol=1e-6)
        assert ours.name == published.name


@pytest.mark.parametrize("shape", [(6,), (1, 6), (4, 6), (1, 4, 6)])
def test_other_arrays(tmp_path, shape):
    array = np.random.RandomState(0).randn(*shape).astype(np.float32)
    np.save(tmp_path / "smile.npy", array)
    (found,) = load_directions(tmp_path / "smile.npy", space="w")
    expected = array.reshape(-1, 6).astype(np.float64)
    length = np.sqrt((expected**2).sum(1).mean())
    np.testing.assert_allclose(np.atleast_2d(found.vector), expected / length)
    assert found.name == "smile"


def test_mistakes_are_told(tmp_path):
    def npy(name, array):
        np.save(tmp_path / name, array, allow_pickle=True)
        return tmp_path / name

    def tensors(name, metadata, **arrays):
        safetensors.numpy.save_file(arrays, tmp_path / name, metadata)
        return tmp_path / name

    def described(**changes):
        record = dict.fromkeys(("layers", "std")) | {"name": "a", "space": "w"}
        record |= {"intercept": 0.0, "provenance": ""} | changes
        metadata = {"format": "stylegan_jax directions", "version": 1}
        return {"stylegan_jax": json.dumps(metadata | {"directions": [record]})}

    ones = np.ones(4)
    (tmp_path / "short.safetensors").write_bytes(b"\x08\0\0")
    (tmp_path / "empty").mkdir()
    for message, path in [
        ("is not a NumPy array", npy("m_a_boundary.npy", np.array([{}]))),
        ("int64 of shape", npy("m_b_boundary.npy", np.ones(4, int))),
        (r"of shape \(2, 3, 4\)", npy("m_c_boundary.npy", np.ones((2, 3, 4)))),
        ("whether it is in w or z", npy("smile.npy", ones)),
        ("which has no layers|by its name and shape", npy("a.npy", np.ones((2, 4)))),
        ("not a file of directions", tensors("a.safetensors", None, a=ones)),
        (
            "of layers is a text",
            tensors("b.safetensors", described(layers=["0"]), a=ones),
        ),
        ("std is a text", tensors("c.safetensors", described(std="1"), a=ones)),
        ("not w or z", tensors("d.safetensors", described(space="s"), a=ones)),
        ("not those that it describes", tensors("e.safetensors", described(), b=ones)),
        ("not floats", tensors("f.safetensors", described(), a=np.ones(4, np.int8))),
        ("or is damaged", tmp_path / "short.safetensors"),
        ("does not exist", tmp_path / "nothing.npy"),
        ("has no .npy", tmp_path / "empty"),
    ]:
        with pytest.raises(UserError, match=message):
            load_directions(path, space="z" if path.name == "a.npy" else None)
    with pytest.raises(UserError, match="is in w, by its name"):
        read_boundary(npy("m_age_w_boundary.npy", ones), space="z")
    with pytest.raises(UserError, match="two directions 'a'"):
        save_directions(tmp_path / "x", [Direction(name="a", vector=ones)] * 2)
    with pytest.raises(UserError, match="no directions"):
        save_directions(tmp_path / "x", [])
