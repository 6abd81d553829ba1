"""Every recipe parses and fits together, and states the official facts it claims."""

import contextlib
import functools
import itertools
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import stylegan_jax as sg
from stylegan_jax import loading
from stylegan_jax.commands import cli, train
from stylegan_jax.errors import UserError
from stylegan_jax.networks.pair import discriminator_network
from stylegan_jax.training.schedule import phases

CONFIGS = Path(cli.__file__).resolve().parents[2] / "configs"
RECIPES = sorted(CONFIGS.glob("*.py"))
VARIANTS = {
    **dict.fromkeys(("ffhq1024", "celebahq1024", "ablation32"), "abcdef"),
    "gan_ring": ("ring", "collapse", "line", "theory"),
    "corner": ("mapping", "plain"),
    "family32": ("gan", "dcgan", "progan", "stylegan"),
    "gan_mnist": ("spread", "collapse"),
}
ALL = [
    name
    for recipe in RECIPES
    for name in (
        recipe.stem,
        *(f"{recipe.stem}:{variant}" for variant in VARIANTS.get(recipe.stem, ())),
    )
]
OFFICIAL = {  # final resolution, total kimg, mirror
    "ffhq256": (256, 25_000, True),
    "ffhq1024": (1024, 25_000, True),
    "celebahq1024": (1024, 25_000, True),
    "lsun_bedroom256": (256, 70_000, False),
    "lsun_cat256": (256, 70_000, False),
    "lsun_car512": (512, 46_000, False),
}


def file_of(name: str) -> str:
    """What the command line takes for a recipe `NAME` or `NAME:VARIANT`."""
    stem, colon, variant = name.partition(":")
    return f"{CONFIGS / stem}.py{colon}{variant}"


@functools.cache
def load(name: str, *flags: str) -> sg.Config:
    words = [file_of(name), *flags]
    return cli.parse_recipe(train.Flags, words, prog="train")[0]


@functools.cache
def shapes(model: sg.ModelConfig):
    """Weights of both networks and logits of images, as shapes."""

    def run(key):
        generator = sg.init_generator(key, model)
        images = generator.sample(jnp.zeros((2, model.z_dim)))
        discriminator = discriminator_network(model)
        logits, variables = discriminator.init_with_output(key, images, None)
        return images, generator.params, variables["params"], logits

    return jax.eval_shape(run, jax.random.key(0))


def count(tree) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_says_how_it_is_run_and_needs_one_import(recipe):
    text = recipe.read_text()
    assert f"stylegan_jax.train configs/{recipe.name} --workdir" in text
    assert 15 <= len(text.splitlines()) <= 85
    assert "import stylegan_jax as sg" in text and "from stylegan_jax" not in text


@pytest.mark.thorough
@pytest.mark.parametrize("name", ALL)
def test_every_recipe_has_phases_that_end_at_its_resolution_and_length(name):
    config = load(name)
    schedule = phases(config.schedule, config.model.resolution)
    assert schedule[0].start_nimg == 0
    for before, after in itertools.pairwise(schedule):
        assert before.end_nimg == after.start_nimg
    assert schedule[-1].resolution == config.model.resolution
    assert not schedule[-1].fading
    missing = schedule[-1].end_nimg - config.schedule.total_kimg * 1000
    assert 0 <= missing < schedule[-1].step_nimg
    for phase in schedule:
        group = min(config.model.mbstd_group_size, phase.batch_size)
        assert group < 2 or phase.batch_size % group == 0


@pytest.mark.thorough
def test_every_recipes_networks_fit_together():
    for model in {load(name).model for name in ALL}:
        images, _, _, logits = shapes(model)
        side = model.resolution
        assert images.shape == (2, side, side, model.num_channels)
        assert logits.shape == (2,)


@pytest.mark.parametrize(
    "name",
    [
        "quickstart",
        *(pytest.param(x.stem, marks=pytest.mark.thorough) for x in RECIPES),
    ],
)
def test_a_dry_run_shows_the_configuration_and_the_phases(name, capsys):
    with contextlib.suppress(UserError):  # the data is not at hand, which is said last
        train.main([file_of(name), "--dry-run"])
    shown = capsys.readouterr().out
    config = load(name)
    assert f"{config.schedule.total_kimg}" in shown
    for phase in phases(config.schedule, config.model.resolution):
        assert f"  {phase.title} " in shown


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_papers_recipes_have_the_official_settings(name):
    config = load(name)
    resolution, total_kimg, mirror = OFFICIAL[name]
    assert config.model.resolution == resolution
    assert config.schedule.total_kimg == total_kimg
    assert config.data.mirror is mirror
    # Configuration F, at the widths of the paper.
    assert config.model.use_styles and config.model.const_input
    assert config.model.use_noise and config.loss.style_mixing == 0.9
    assert [config.model.channels(r) for r in (4, 32, 64, 256)] == [512, 512, 256, 64]
    assert config.model.mapping_layers == 8
    assert config.model.mapping_lr_multiplier == 0.01
    sizes = (8, 16, 32, 64, 128, 256, 512, 1024)
    batches = [config.schedule.batch_size.at(r) for r in sizes]
    assert batches == [256, 128, 64, 32, 32, 32, 32, 32]
    rates = [config.optimizer.learning_rate.at(r) for r in sizes]
    limit = 0.002 if name == "celebahq1024" else math.inf
    official = [0.001, 0.001, 0.001, 0.001, 0.0015, 0.002, 0.003, 0.003]
    assert rates == [min(rate, limit) for rate in official]
    ticks = [config.run.tick_kimg.at(r) for r in sizes]
    assert ticks == [140, 120, 100, 80, 60, 40, 30, 20]
    assert config.schedule.initial_resolution == 8
    assert config.schedule.stable_kimg == config.schedule.fade_kimg == 600
    assert config.schedule.repeats == 4 and config.schedule.reset_optimizers
    adam = config.optimizer
    assert (adam.beta1, adam.beta2, adam.epsilon) == (0.0, 0.99, 1e-8)
    assert adam.ema_kimg == 10 and adam.w_avg_beta == 0.995
    loss = config.loss.resolved()
    if name == "celebahq1024":
        assert loss.objective == "wgan_gp"
        assert (loss.gp_lambda, loss.gp_target, loss.drift) == (10, 1, 0.001)
        assert loss.r1_gamma == loss.r2_gamma == 0
    else:
        assert loss.objective == "logistic"
        assert loss.r1_gamma == 10 and loss.gp_lambda == loss.r2_gamma == 0


@pytest.mark.parametrize(
    ("name", "g_count", "d_count"),
    [
        # G: the README of NVlabs/stylegan; A: of the paper's 23.1 million.
        ("ffhq1024", 26_219_627, 23_087_249),
        pytest.param("ffhq1024:a", 23_079_115, 23_087_249, marks=pytest.mark.thorough),
        pytest.param("ffhq256", 26_086_229, 23_052_353, marks=pytest.mark.thorough),
        pytest.param("lsun_car512", 26_179_768, 23_080_225, marks=pytest.mark.thorough),
    ],
)
def test_the_papers_networks_have_the_official_numbers_of_weights(
    name, g_count, d_count
):
    _, generator, discriminator, _ = shapes(load(name).model)
    assert (count(generator), count(discriminator)) == (g_count, d_count)


@pytest.mark.parametrize("name", ["ffhq1024", "celebahq1024"])
def test_the_baseline_is_progan_as_long_as_it_was_trained(name):
    config = load(f"{name}:a")
    assert config.model == load("ffhq1024:a").model
    assert config.schedule.total_kimg == 12_000
    assert config.schedule.initial_resolution == 4
    assert config.schedule.batch_size.at(4) == 512
    loss = config.loss.resolved()
    assert (loss.objective, loss.gp_lambda, loss.drift) == ("wgan_gp", 10, 0.001)


def test_the_flags_that_the_recipes_mention_work():
    batches = "4,4:128,8:128,16:128,32:64,64:32,128:16,256:8"
    one_gpu = load("ffhq1024", "--schedule.batch-size", batches)
    sizes = (8, 16, 32, 64, 128, 256, 512, 1024)
    found = [one_gpu.schedule.batch_size.at(r) for r in sizes]
    assert found == [128, 128, 64, 32, 16, 8, 4, 4]
    rates = "0.001,128:0.0015,256:0.002,512:0.003,1024:0.003"
    flags = ("--loss.objective", "logistic", "--optimizer.learning-rate", rates)
    as_ffhq = load("celebahq1024", *flags)
    assert as_ffhq.loss.resolved() == load("ffhq1024").loss.resolved()
    assert as_ffhq.optimizer == load("ffhq1024").optimizer
    assert load("cifar10", "--data.labels", "none").data.labels == "none"


def test_small_recipes_have_the_labels_and_data_that_they_claim():
    mnist, cifar10 = load("mnist"), load("cifar10")
    for config in (mnist, cifar10):
        assert config.data.labels == "label" and config.model.resolution == 32
        assert config.model.label_size == 0  # filled in from the data
    assert mnist.model.num_channels == mnist.data.num_channels == 1
    assert cifar10.data.mirror and not mnist.data.mirror
    data, _ = loading.trained_on("portraits")
    assert load("portraits32").data == data


def test_the_family_differs_in_the_networks_and_sees_the_same_images():
    gan, dcgan, progan, stylegan = (
        load(f"family32:{x}") for x in ("gan", "dcgan", "progan", "stylegan")
    )
    for member in (gan, dcgan, progan):
        assert member.data == stylegan.data
        assert member.schedule.total_kimg == stylegan.schedule.total_kimg
        assert member.schedule.batch_size == stylegan.schedule.batch_size
        assert not member.model.use_styles and member.model.mapping_layers == 0
    models = [member.model for member in (gan, dcgan, progan, stylegan)]
    assert [model.mlp_layers for model in models] == [2, 0, 0, 0]
    assert [model.use_pixel_norm for model in models] == [False, False, True, False]
    starts = [x.schedule.initial_resolution for x in (gan, dcgan, progan, stylegan)]
    assert starts == [32, 32, 4, 8]
    assert progan.loss.objective == "wgan_gp" and dcgan.loss.objective == "logistic"
    assert stylegan.model.use_styles and stylegan.loss.style_mixing == 0.9
