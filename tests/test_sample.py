"""Pictures of seeds, and everything that must not change them."""

from pathlib import Path

import jax
import numpy as np
import pytest

from stylegan_jax.commands import flag_groups, sample
from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.io import images
from stylegan_jax.networks import seeds as drawing
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.ops import latents
from tests import tiny

PICKLE = Path(__file__).parent / "data" / "official" / "stylegan_res16_labels5_gray.pkl"
# Wide enough that plain batching would round differently: of these twelve pictures it
# changes some on a CPU.
MODEL = ModelConfig(
    resolution=8,
    z_dim=16,
    w_dim=16,
    mapping_width=16,
    mapping_layers=2,
    channel_max=64,
)
SEEDS = tuple(range(12))


@pytest.fixture(scope="module")
def generator():
    return tiny.generator(MODEL)


@pytest.fixture(scope="module")
def draw_ws(generator):
    """The picture of one w per layer."""
    jitted = jax.jit(generator.synthesize)
    return lambda ws: images.to_uint8(np.asarray(jitted(ws)))[0].astype(int)


def pictures(made, seeds, *, devices=1, batch_size=16, noise="random", cutoff=4):
    """By job (seed or seed and psi), as the command draws them."""
    mesh = parallel.make_mesh(devices)
    draw = drawing.make_draw(mesh, cutoff=cutoff, noise=noise)
    jobs = [seed if isinstance(seed, tuple) else (seed, 0.7) for seed in seeds]
    drawn = list(
        drawing.draw_pictures(made, jobs, draw, mesh=mesh, batch_size=batch_size)
    )
    assert len(drawn) == len(jobs)
    return dict(zip(seeds, drawn, strict=True))


@pytest.fixture(scope="module")
def alone(generator) -> dict[int, np.ndarray]:
    """Every picture drawn by itself."""
    return {seed: pictures(generator, [seed])[seed] for seed in SEEDS}


@pytest.mark.parametrize(
    ("devices", "batch_size"),
    [
        (1, 3),
        *(
            pytest.param(*x, marks=pytest.mark.thorough)
            for x in [(1, 16), (3, 2), (4, 1), (4, 16)]
        ),
    ],
)
def test_the_picture_of_a_seed_depends_on_neither_batch_size_nor_devices(
    generator, alone, devices, batch_size
):
    order = SEEDS[5:] + SEEDS[:5]
    drawn = pictures(generator, order, devices=devices, batch_size=batch_size)
    for seed in SEEDS:
        np.testing.assert_array_equal(drawn[seed], alone[seed])
    assert (drawn[0] != drawn[1]).any()


def test_a_picture_is_the_one_that_sample_draws(generator):
    z = np.random.RandomState(11).randn(1, MODEL.z_dim).astype(np.float32)
    np.testing.assert_array_equal(latents.latents_of_seed(11, MODEL.z_dim), z)
    sample_fn = jax.jit(lambda generator, z: generator.sample(z, psi=0.7, cutoff=4))
    expected = images.to_uint8(np.asarray(sample_fn(generator, z)))
    drawn = pictures(generator, [10, 11], noise="stored")[11]
    assert drawn.shape == (8, 8, 3) and drawn.dtype == np.uint8
    # Compiled by itself it may round differently, by one level in a few pixels.
    difference = np.abs(drawn.astype(int) - expected[0])
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01


def test_random_noise_comes_from_the_seed_and_none_is_zeros(generator, alone):
    stored = pictures(generator, [3], noise="stored")[3]
    none = pictures(generator, [3], noise="none")[3]
    silent = generator.replace(noise=jax.tree.map(np.zeros_like, generator.noise))
    np.testing.assert_array_equal(pictures(silent, [3], noise="stored")[3], none)
    assert (stored != none).any() and (stored != alone[3]).any()
    noise = generator.draw_noise(jax.random.key(np.uint32(3)), 1)
    expected = pictures(generator.replace(noise=noise), [3], noise="stored")
    np.testing.assert_array_equal(expected[3], alone[3])


def test_truncation_moves_the_first_layers_to_the_mean(generator, draw_ws):
    z = latents.latents_of_seed(1, MODEL.z_dim)
    for cutoff in (3, None):
        drawn = pictures(generator, [(1, 0.2)], noise="stored", cutoff=cutoff)
        ws = latents.truncate(generator.map(z), generator.w_avg, 0.2, cutoff)
        assert np.abs(drawn[1, 0.2].astype(int) - draw_ws(ws)).max() <= 1
    jobs = [(1, 0.0), (2, 0.0), (2, 1.0)]
    drawn = pictures(generator, jobs, noise="stored", cutoff=None)
    np.testing.assert_array_equal(drawn[jobs[0]], drawn[jobs[1]])
    assert (drawn[jobs[1]] != drawn[jobs[2]]).any()
    mean = np.broadcast_to(generator.w_avg, (1, MODEL.num_ws, MODEL.w_dim))
    assert np.abs(drawn[jobs[0]].astype(int) - draw_ws(mean)).max() <= 1


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("7", (7,)),
        ("0-3", (0, 1, 2, 3)),
        ("1,5,8-10", (1, 5, 8, 9, 10)),
        (" 3 , 1 - 2,2", (3, 1, 2)),
        ("4294967295", (2**32 - 1,)),
    ],
)
def test_seeds_are_read_and_written_as_they_are_read(text, seeds):
    assert flag_groups.parse_seeds(text) == seeds
    assert flag_groups.parse_seeds(flag_groups.format_seeds(seeds)) == seeds
    assert flag_groups.format_seeds((1, 5, 8, 9, 10)) == "1,5,8-10"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a seed"),
        ("1,,2", "'' is not a seed"),
        ("a", "'a' is not a seed or a range"),
        ("-1", "'-1' is not a seed"),
        ("1.5", "'1.5' is not a seed"),
        ("5-2", "did you mean 2-5"),
        ("4294967296", "is over 4294967295"),
        ("0-4000000000", "over 1000000; draw them in parts"),
    ],
)
def test_bad_seeds_are_refused_with_the_way_out(text, message):
    with pytest.raises(UserError, match=message):
        flag_groups.parse_seeds(text)


def test_truncation_strengths_are_read_and_checked():
    assert flag_groups.parse_numbers("1,0.7,0,-0.5") == (1.0, 0.7, 0.0, -0.5)
    for text in ("", "a", "1,", "nan", "1,inf"):
        with pytest.raises(UserError, match="--psi"):
            flag_groups.parse_numbers(text)


def run(outdir: Path, *words: str) -> dict[str, np.ndarray]:
    """Runs the command on the official pickle; returns the pictures by name."""
    sample.main([str(PICKLE), "--outdir", str(outdir), *words])
    return {p.stem: images.read_image(p, 1) for p in outdir.glob("*.png")}


@pytest.mark.thorough
def test_one_png_per_seed_and_a_grid_with_captions(tmp_path, capsys):
    words = ("--seeds", "1,5,8-10", "--class", "2")
    drawn = run(tmp_path / "a", *words, "--columns", "2")
    names = [f"seed{seed:04d}_class2" for seed in (1, 5, 8, 9, 10)]
    assert sorted(drawn) == ["grid", *names]
    assert all(drawn[name].shape == (16, 16, 1) for name in names)
    grid = drawn["grid"]
    # Three rows of two enlarged pictures below and beside the captions.
    assert grid.shape[0] > 3 * 64 and grid.shape[1] > 2 * 64
    # With a gap of 2 pixels, and a margin of 4.
    last = grid[-68:-4, -2 * 64 - 6 : -64 - 6, :1]
    np.testing.assert_array_equal(last[::4, ::4], drawn["seed0010_class2"])
    assert "5 images in" in capsys.readouterr().out
    # Neither batches nor a grid change the files; another class does.
    again = run(tmp_path / "b", *words, "--no-grid", "--batch-size", "3")
    assert sorted(again) == names
    for name in names:
        files = [(tmp_path / x / f"{name}.png").read_bytes() for x in "ab"]
        assert files[0] == files[1]
    other = run(tmp_path / "c", "--seeds", "1", "--class", "4", "--no-grid")
    assert (other["seed0001_class4"] != drawn["seed0001_class2"]).any()


def test_several_psis_make_a_column_each(tmp_path):
    drawn = run(tmp_path, "--seeds", "3-4", "--class", "0", "--psi", "1,0,-1")
    names = [f"seed{s:04d}_class0_psi{p}" for s in (3, 4) for p in (-1, 0, 1)]
    assert sorted(drawn) == sorted(["grid", *names])
    bottom = drawn["grid"][-68:-4, :-4, :1]
    for place, psi in [(0, -1), (1, 0), (2, 1)]:
        end = bottom.shape[1] - place * 66
        np.testing.assert_array_equal(
            bottom[::4, end - 64 : end : 4], drawn[f"seed0004_class0_psi{psi}"]
        )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--class is missing: this network has 5 classes, 0 to 4"),
        (["--class", "5"], "--class 5 is unknown: this network has 5 classes"),
        (["--class", "-1"], "--class -1 is unknown"),
        (["--class", "1", "--batch-size", "0"], "--batch-size 0 is below 1"),
        (["--class", "1", "--cutoff", "-2"], "--cutoff -2 is below 0"),
        (["--class", "1", "--columns", "0"], "--columns 0 is below 1"),
        (["--class", "1", "--columns", "2", "--psi", "1,0"], "are the columns"),
    ],
)
def test_flags_that_do_not_fit_are_refused(tmp_path, words, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


def test_a_class_for_an_unconditional_network_is_refused():
    assert drawing.one_hot(0, None) is None
    with pytest.raises(UserError, match="unconditional, leave `class_index` out"):
        drawing.one_hot(0, 0)
