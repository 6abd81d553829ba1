"""Many images: what must not change the result of one, restarts, going on."""

import dataclasses
import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.features import weights
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.inversion import resuming, spaces, terms
from stylegan_jax.inversion.feature_nets import NO_FEATURES, FeatureNets
from stylegan_jax.inversion.inverter import invert
from stylegan_jax.inversion.recipes import (
    RECIPES,
    Recipe,
    Stage,
    Weights,
    load_features,
    make_terms,
    noise_rate,
    recipe,
    with_perceptual,
)
from stylegan_jax.inversion.solver import Optimizer, Plan
from stylegan_jax.io import cache, fetch

FEW = Plan(steps=12, optimizer=Optimizer(learning_rate=0.05))
PIXELS = Weights(perceptual=0.0)
RECIPE = Recipe(
    stages=(
        Stage(name="w", moves="latent", weights=PIXELS, plan=FEW),
        Stage(name="noise", moves="noise", weights=PIXELS, plan=FEW),
    ),
)


def steps(generator, pictures, recipe=RECIPE, *, devices=1, **options):
    mesh = parallel.make_mesh(devices)
    return invert(generator, pictures, recipe, chunk=4, mesh=mesh, **options)


def run(*args, **options):
    return [one for step in steps(*args, **options) for one in step.finished]


def same(a, b, tolerance=0.0):
    assert a.start == b.start
    np.testing.assert_allclose(a.code.ws, b.code.ws, atol=tolerance)
    for x, y in zip(a.code.noise, b.code.noise, strict=True):
        np.testing.assert_allclose(x, y, atol=tolerance)
    for x, y in zip(a.stages, b.stages, strict=True):
        np.testing.assert_allclose(x.history, y.history, rtol=10 * tolerance)


@pytest.fixture(scope="module")
def alone(small, pictures_4):
    """Each picture inverted by itself."""
    return [run(small, [picture])[0] for picture in pictures_4]


@pytest.mark.parametrize(
    ("devices", "batch_size"),
    [
        (1, 1),
        pytest.param(4, 1, marks=pytest.mark.thorough),
        pytest.param(1, 3, marks=pytest.mark.thorough),
    ],
)
def test_a_result_depends_neither_on_its_batch_nor_on_devices(
    small, pictures_4, alone, devices, batch_size
):
    order = [2, 0, 1]
    found = run(
        small,
        [pictures_4[i] for i in order],
        devices=devices,
        batch_size=batch_size,
    )
    assert [inversion.index for inversion in found] == [0, 1, 2]
    for inversion, i in zip(found, order, strict=True):
        # The same program is the same bit for bit; that of three rounds differently.
        same(inversion, alone[i], 0.0 if batch_size == devices == 1 else 1e-5)


def test_stages_follow_each_other_and_the_first_is_not_touched_again(alone):
    for inversion in alone:
        w, noise = inversion.stages
        np.testing.assert_array_equal(w.code.ws, noise.code.ws)
        assert noise.loss <= w.loss == w.history.min()
        assert len(w.history) == len(noise.history) == 12
        assert noise.picture.shape == (4, 4, 3) and noise.picture.dtype == np.uint8
        assert not inversion.failed and inversion.frames is None


@pytest.mark.thorough
def test_of_several_starts_each_image_keeps_its_best(
    small, pictures_4, alone, secret_4
):
    first = dataclasses.replace(RECIPE, stages=RECIPE.stages[:1])
    other = dataclasses.replace(first, starts=("random",))
    both = dataclasses.replace(first, starts=("mean", "random"))
    single = {"mean": alone, "random": run(small, pictures_4, other)}
    for i, inversion in enumerate(run(small, pictures_4, both)):
        losses = {name: found[i].stages[0].loss for name, found in single.items()}
        assert inversion.start == min(losses, key=lambda name: losses[name])
        assert inversion.stages[0].loss == pytest.approx(min(losses.values()), rel=1e-4)
    # Where the answer is given it is the start that wins, with its own noise: what is
    # left is the rounding to 8 bits, a twelfth of a level squared.
    only = dataclasses.replace(first, starts=())
    for inversion in run(small, pictures_4, only, given=secret_4, batch_size=3):
        assert inversion.start == "given"
        assert inversion.stages[0].history[0] == pytest.approx(1e-5 / 12, rel=0.5)


@pytest.mark.parametrize("stop_after", [2, 4])  # in either stage
def test_work_that_was_cut_off_goes_on_bit_for_bit(
    small, pictures_4, alone, tmp_path, stop_after
):
    options = {"folder": tmp_path, "save_seconds": 0.0}
    before = [*itertools.islice(steps(small, pictures_4[:1], **options), stop_after)]
    (file,) = (tmp_path / "unfinished").iterdir()
    # Other work does not take it for its own.
    other = run(small, pictures_4[1:2], **options)
    same(other[0], alone[1])
    assert file.exists()
    after = list(steps(small, pictures_4[:1], **options))
    same(after[-1].finished[0], alone[0])
    assert len(after) == 6 - stop_after + 1
    assert sum(step.iterations for step in before + after) == 24
    assert not (tmp_path / "unfinished").exists()


def test_frames_are_pictures_on_the_way(small, pictures_4, alone):
    (found,) = run(small, pictures_4[:1], frames=True)
    assert found.frames.shape == (6, 4, 4, 3)
    np.testing.assert_array_equal(found.frames[-1], found.stages[-1].picture)
    np.testing.assert_array_equal(found.frames[2], found.stages[0].picture)


def test_recipes_have_the_published_numbers():
    first, second = recipe("image2stylegan++", 1024).stages
    assert (first.moves, first.plan.steps, first.plan.optimizer) == (
        "latent",
        5000,
        Optimizer(learning_rate=0.01, b1=0.9, b2=0.999, eps=1e-8),
    )
    assert (first.weights.pixel, first.weights.perceptual) == (1e-5, 1e-5)
    assert first.layers == (1, 3, 8, 15)
    assert (second.moves, second.plan.steps) == ("noise", 3000)
    assert (
        second.plan.optimizer.learning_rate == 5 and second.plan.optimizer.eps == 1e-8
    )
    assert second.weights == Weights(pixel=1e-5, perceptual=0.0)
    assert recipe("image2stylegan", 64).stages[0].layers == (1, 3, 13, 20)
    small = recipe("image2stylegan++", 64).stages[1].plan.optimizer
    assert small.learning_rate == noise_rate(64) == 2.5
    (projection,) = recipe("stylegan2-projector", 256).stages
    assert projection.weights == Weights(
        pixel=0, perceptual=0, lpips=1, white=1e5, style=0, own=0, stay=0
    )
    assert projection.jitter and projection.renormalise
    latents, noise = recipe("editing", 32).stages
    assert latents.weights.near > 0 and noise.weights.near == 0
    assert noise.plan.optimizer.learning_rate == noise_rate(32, "edit")
    moves = [s.moves for s in recipe("image2stylegan++-alternating", 1024).stages]
    assert moves == ["latent", "noise"] * 5
    with pytest.raises(UserError, match=r"no preset e4e; they are image2stylegan, "):
        recipe("e4e", 256)


@pytest.mark.parametrize("name", RECIPES)
def test_without_vgg16_presets_take_the_included_network_and_say_so(
    name, tmp_path, monkeypatch, caplog
):
    """And fetch nothing."""
    monkeypatch.setattr(cache, "folder", lambda _: tmp_path)
    monkeypatch.setattr(fetch, "fetch", lambda *_, **__: pytest.fail("fetches"))
    preset = RECIPES[name]
    found = with_perceptual(preset, "preset")
    looks = any(w.perceptual or w.lpips for w in preset.weights)
    assert found == with_perceptual(preset, "included" if looks else "preset")
    assert ("the included network" in caplog.text) == looks
    assert ("`perceptual` vgg16 fetches them" in caplog.text) == looks
    if not looks:
        assert found == preset
    for before, after in zip(preset.weights, found.weights, strict=True):
        strength = max(before.perceptual / 1e-5, before.lpips / 255**2 / 1e-5)
        assert after.included == pytest.approx(terms.INCLUDED_WEIGHT * strength)
        assert after.perceptual == after.lpips == after.style == 0 < after.pixel
    features = load_features(found)
    assert features.kind == ("included" if looks else "none")


def test_presets_take_vgg16_where_it_is(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(cache, "folder", lambda _: tmp_path)
    preset, projector = RECIPES["editing"], RECIPES["stylegan2-projector"]
    mine = {"vgg16_path": tmp_path / "mine.pth"}
    assert with_perceptual(preset, "preset", **mine) is preset
    assert with_perceptual(projector, "preset", **mine) is not projector
    mine["lpips_path"] = tmp_path / "lpips.pth"
    assert with_perceptual(projector, "preset", **mine) is projector
    caplog.clear()
    (tmp_path / weights.VGG16.file_name).touch()
    assert with_perceptual(preset, "preset") is preset
    assert with_perceptual(projector, "preset") is not projector
    (tmp_path / weights.LPIPS["vgg"].file_name).touch()
    assert with_perceptual(projector, "preset") is projector
    assert caplog.text.count("the included network") == 1


@pytest.mark.parametrize("name", RECIPES)
def test_without_features_every_stage_looks_at_pixels(name, small, targets_4, start_4):
    statistics = spaces.w_statistics(small, count=50)
    for stage in with_perceptual(RECIPES[name], "none").stages:
        weights = stage.weights
        assert weights.pixel > 0
        assert weights.perceptual == weights.lpips == weights.own == weights.style == 0
        make_terms(stage, targets_4, start_4, NO_FEATURES, statistics)


def test_mistakes_are_named(small, pictures_4, secret_4, targets_4, start_4):
    with pytest.raises(UserError, match=r"uint8 \(2, 4, 3\).*uint8 \(4, 4, 3\)"):
        run(small, [pictures_4[0][:2]])
    with pytest.raises(UserError, match="3 codes to begin with for 1 images"):
        run(small, pictures_4[:1], given=secret_4)
    with pytest.raises(UserError, match="somewhere to start"):
        run(small, pictures_4, dataclasses.replace(RECIPE, starts=()))
    with pytest.raises(UserError, match="`batch_size` 0"):
        run(small, pictures_4, batch_size=0)
    unseen = Stage(name="w", moves="latent")
    with pytest.raises(UserError, match="stage w needs the network vgg16"):
        make_terms(unseen, targets_4, start_4, NO_FEATURES)
    far = Stage(name="w", moves="latent", weights=Weights(perceptual=0, near=1))
    with pytest.raises(UserError, match="a weight `near`"):
        make_terms(far, targets_4, start_4, NO_FEATURES)
    blind = Stage(name="w", moves="latent", weights=Weights(pixel=0, perceptual=0))
    with pytest.raises(UserError, match="no weight on the image"):
        make_terms(blind, targets_4, start_4, NO_FEATURES)


def network(scale, name="means"):
    params = {"scale": jnp.array([scale])}
    return FrozenNetwork(name, 3, params, lambda params, x: x.mean((1, 2)))


def test_other_weights_of_other_networks_are_other_work():
    one = {"weight": jnp.arange(4.0)}
    other = {"weight": jnp.arange(4.0).at[2].set(9.0)}
    nets = [
        NO_FEATURES,
        FeatureNets(vgg16=one),
        FeatureNets(vgg16=other),
        FeatureNets(lpips=one),
        FeatureNets(included=one),
        FeatureNets(own=network(1.0)),
        FeatureNets(own=network(2.0)),
        FeatureNets(own=network(1.0, "others")),
    ]
    assert list(NO_FEATURES.contents()) == []
    names = [resuming.identity(some.contents()) for some in nets]
    assert len(set(names)) == len(names)
    assert resuming.identity(FeatureNets(vgg16=dict(one)).contents()) == names[1]
