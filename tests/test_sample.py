"""Pictures of seeds, and everything that must not change them."""

from pathlib import Path

import jax
import numpy as np
import pytest

from stylegan_jax.commands import choices, sample
from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.io import images
from stylegan_jax.networks import seeds as drawing
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator, init_generator
from stylegan_jax.ops import latents

PICKLE = Path(__file__).parent / "data" / "official" / "stylegan_res16_labels5_gray.pkl"
# Wide enough that plain batching would round differently: of these twelve pictures it
# changes three on a CPU.
MODEL = ModelConfig(
    resolution=32, z_dim=16, w_dim=16, mapping_width=16, channel_max=128
)
SEEDS = tuple(range(12))


@pytest.fixture(scope="module")
def generator() -> Generator:
    drawn = jax.jit(init_generator, static_argnums=1)(jax.random.key(3), MODEL)
    # Fresh networks ignore noise and have a mean of zero; trained ones do not.
    params = jax.tree_util.tree_map_with_path(
        lambda path, x: x + 0.3 if path[-1].key == "noise_weight" else x, drawn.params
    )
    return drawn.replace(params=params, w_avg=drawn.w_avg + 0.5)


def pictures(generator, seeds, *, devices=1, batch_size=16, noise="random"):
    mesh = parallel.make_mesh(devices)
    draw = drawing.make_draw(mesh, cutoff=4, noise=noise)
    jobs = [(seed, 0.7) for seed in seeds]
    drawn = list(
        drawing.draw_pictures(generator, jobs, draw, mesh=mesh, batch_size=batch_size)
    )
    assert len(drawn) == len(jobs)
    return dict(zip(seeds, drawn, strict=True))


@pytest.fixture(scope="module")
def alone(generator) -> dict[int, np.ndarray]:
    """Every picture drawn by itself."""
    return {seed: pictures(generator, [seed])[seed] for seed in SEEDS}


@pytest.mark.parametrize(
    ("devices", "batch_size"), [(1, 3), (1, 16), (3, 2), (4, 1), (4, 16)]
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
    sample_fn = jax.jit(lambda generator, z: generator.sample(z, psi=0.7, cutoff=4))
    expected = images.to_uint8(np.asarray(sample_fn(generator, z)))
    drawn = pictures(generator, [10, 11], noise="stored")[11]
    assert drawn.shape == (32, 32, 3) and drawn.dtype == np.uint8
    # Compiled by itself it may round differently, by one level in a few pixels.
    difference = np.abs(drawn.astype(int) - expected[0])
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01


def test_latents_are_those_of_the_official_scripts():
    expected = np.random.RandomState(7).randn(1, 16)
    np.testing.assert_array_equal(
        latents.latents_of_seed(7, 16), expected.astype(np.float32)
    )


def test_random_noise_comes_from_the_seed_and_none_is_zeros(generator):
    random = pictures(generator, [3, 4])
    np.testing.assert_array_equal(pictures(generator, [3])[3], random[3])
    stored = pictures(generator, [3], noise="stored")[3]
    none = pictures(generator, [3], noise="none")[3]
    silent = generator.replace(noise=jax.tree.map(np.zeros_like, generator.noise))
    np.testing.assert_array_equal(pictures(silent, [3], noise="stored")[3], none)
    assert (stored != none).any() and (stored != random[3]).any()

    def noise_of(seed):
        return generator.draw_noise(jax.random.key(np.uint32(seed)), 1)

    expected = pictures(generator.replace(noise=noise_of(3)), [3], noise="stored")
    np.testing.assert_array_equal(expected[3], random[3])


def test_psi_zero_is_the_mean_image_for_every_seed(generator):
    mesh = parallel.make_mesh(1)
    draw = drawing.make_draw(mesh, cutoff=None, noise="stored")
    jobs = [(1, 0.0), (2, 0.0), (2, 1.0)]
    first, second, untruncated = drawing.draw_pictures(generator, jobs, draw, mesh=mesh)
    np.testing.assert_array_equal(first, second)
    assert (second != untruncated).any()
    ws = np.broadcast_to(generator.w_avg, (1, MODEL.num_ws, MODEL.w_dim))
    expected = images.to_uint8(np.asarray(generator.synthesize(ws)))
    assert np.abs(first.astype(int) - expected[0]).max() <= 1


def test_the_cutoff_is_the_number_of_truncated_layers(generator):
    mesh = parallel.make_mesh(1)
    z = latents.latents_of_seed(1, MODEL.z_dim)
    for cutoff in (0, 3, None):
        draw = drawing.make_draw(mesh, cutoff=cutoff, noise="stored")
        (drawn,) = drawing.draw_pictures(generator, [(1, 0.2)], draw, mesh=mesh)
        ws = latents.truncate(generator.map(z), generator.w_avg, 0.2, cutoff)
        expected = images.to_uint8(np.asarray(generator.synthesize(ws)))
        assert np.abs(drawn.astype(int) - expected[0]).max() <= 1


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
def test_seeds_are_read(text, seeds):
    assert choices.parse_seeds(text) == seeds


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
        choices.parse_seeds(text)


def test_seeds_are_written_as_they_are_read():
    for seeds in [(7,), (0, 1, 2), (1, 5, 8, 9), (3, 1, 2)]:
        assert choices.parse_seeds(choices.format_seeds(seeds)) == seeds
    assert choices.format_seeds((1, 5, 8, 9, 10)) == "1,5,8-10"


def test_truncation_strengths_are_read_and_checked():
    assert choices.parse_numbers("1,0.7,0,-0.5") == (1.0, 0.7, 0.0, -0.5)
    for text in ("", "a", "1,", "nan", "1,inf"):
        with pytest.raises(UserError, match="--psi"):
            choices.parse_numbers(text)


def run(outdir: Path, *words: str) -> dict[str, np.ndarray]:
    """Runs the command on the official pickle; returns the pictures by name."""
    sample.main([str(PICKLE), "--outdir", str(outdir), *words])
    return {p.stem: images.read_image(p, 1) for p in outdir.glob("*.png")}


def test_one_png_per_seed_and_a_grid_with_captions(tmp_path, capsys):
    drawn = run(tmp_path, "--seeds", "1,5,8-10", "--class", "2", "--columns", "2")
    names = [f"seed{seed:04d}_class2" for seed in (1, 5, 8, 9, 10)]
    assert sorted(drawn) == ["grid", *names]
    assert all(drawn[name].shape == (16, 16, 1) for name in names)
    grid = drawn["grid"]
    # Three rows of two enlarged pictures below and beside the captions.
    assert grid.shape[0] > 3 * 64 and grid.shape[1] > 2 * 64
    last = grid[-64:, -2 * 64 - 2 : -64 - 2]
    np.testing.assert_array_equal(last[::4, ::4], drawn["seed0010_class2"])
    assert "5 images in" in capsys.readouterr().out


def test_several_psis_make_a_column_each(tmp_path):
    drawn = run(tmp_path, "--seeds", "3-4", "--class", "0", "--psi", "1,0,-1")
    names = [f"seed{s:04d}_class0_psi{p}" for s in (3, 4) for p in (-1, 0, 1)]
    assert sorted(drawn) == sorted(["grid", *names])
    bottom = drawn["grid"][-64:]
    for place, psi in [(0, -1), (1, 0), (2, 1)]:
        end = bottom.shape[1] - place * 66
        np.testing.assert_array_equal(
            bottom[::4, end - 64 : end : 4], drawn[f"seed0004_class0_psi{psi}"]
        )


def test_the_class_changes_the_picture_and_the_grid_can_be_left_out(tmp_path):
    zero = run(tmp_path / "0", "--seeds", "1", "--class", "0", "--no-grid")
    four = run(tmp_path / "4", "--seeds", "1", "--class", "4", "--no-grid")
    assert list(zero) == ["seed0001_class0"] and list(four) == ["seed0001_class4"]
    assert (zero["seed0001_class0"] != four["seed0001_class4"]).any()


def test_files_do_not_depend_on_the_batch_size(tmp_path):
    for size in ("1", "3", "16"):
        run(tmp_path / size, "--seeds", "0-6", "--class", "1", "--batch-size", size)
    for path in (tmp_path / "1").iterdir():
        for size in ("3", "16"):
            assert (tmp_path / size / path.name).read_bytes() == path.read_bytes()


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
    assert choices.one_hot(0, None) is None
    with pytest.raises(UserError, match="unconditional, leave --class out"):
        choices.one_hot(0, 0)
