"""What `stylegan_jax.edit` does to and says of inverted photographs."""

import numpy as np
import pytest

from stylegan_jax.commands import edit
from stylegan_jax.editing.direction_files import save_directions
from stylegan_jax.editing.directions import Direction
from stylegan_jax.editing.fading import fade_noise
from stylegan_jax.interop import exported
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import spaces
from tests import tiny


@pytest.fixture
def generator():
    return tiny.generator(tiny.MODEL_8)


@pytest.fixture
def run(generator, tmp_path):
    """Moves codes along a direction; returns the folder."""
    exported.save(tmp_path / "net.safetensors", generator)
    smile = Direction(name="smile", vector=np.eye(6)[2])
    save_directions(tmp_path / "d.safetensors", [smile])

    def run(*words):
        outdir = tmp_path / "out"
        network, path = (str(tmp_path / f"{x}.safetensors") for x in ("net", "d"))
        words = (network, *words, "--directions", path, "--outdir", str(outdir))
        edit.main(["attribute", *words])
        return outdir

    return run


def test_photographs_that_leave_what_the_network_knows_are_named(
    run, generator, tmp_path, capsys
):
    statistics = spaces.w_statistics(generator)
    mean = np.broadcast_to(statistics.mean, (1, 4, 6))
    away = np.asarray(statistics.deviations)
    code = tiny.code(generator)
    for name, steps in (("near", 0.0), ("far", 2 * float(statistics.farthest))):
        ws = (mean + steps * away).astype("f")
        codes.save(tmp_path / f"{name}.safetensors", code.replace(ws=ws), {})
    files = [str(tmp_path / f"{name}.safetensors") for name in ("near", "far")]
    kept = ("--fitted-noise", "keep")
    outdir = run(*files, "seed:1", "--amounts=0,99", *kept)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert told[0].startswith("near_smile+99 is ") and "smaller step" in told[0]
    most = f"{statistics.farthest:.1f}"
    assert told[1].startswith(f"far: its latents are {2 * statistics.farthest:.1f} ")
    assert most in told[1] and "--preset editing" in told[1]
    same = codes.load(outdir / "near_smile+99.safetensors").code
    for x, y in zip(same.noise, code.noise, strict=True):
        np.testing.assert_array_equal(x, y)


def test_fitted_noise_fades_unless_it_is_kept(run, generator, tmp_path):
    code = tiny.code(generator)
    codes.save(tmp_path / "me.safetensors", code, {})
    outdir = run(str(tmp_path / "me.safetensors"), "--amounts=0,3")
    still = codes.load(outdir / "me_smile+0.safetensors").code
    moved = codes.load(outdir / "me_smile+3.safetensors").code
    expected = fade_noise(generator, code, moved.ws)
    assert any((x != y).any() for x, y in zip(moved.noise, code.noise, strict=True))
    for x, y, first, kept in zip(
        moved.noise, expected.noise, still.noise, code.noise, strict=True
    ):
        np.testing.assert_allclose(x, y, atol=1e-5)
        np.testing.assert_array_equal(first, kept)
