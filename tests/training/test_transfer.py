"""Runs that begin from trained networks, and layers that stay as they are."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from stylegan_jax.by_resolution import ByResolution
from stylegan_jax.commands import cli
from stylegan_jax.commands import train as train_command
from stylegan_jax.data.config import DataConfig
from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator
from stylegan_jax.networks.pair import discriminator_network
from stylegan_jax.runs.checkpoint import CheckpointConfig
from stylegan_jax.training import transfer
from stylegan_jax.training.adaptive import AugmentConfig
from stylegan_jax.training.config import Config, RunConfig
from stylegan_jax.training.loop import train
from stylegan_jax.training.losses import LossConfig
from stylegan_jax.training.schedule import ScheduleConfig
from stylegan_jax.training.state import OptimizerConfig, init_state, is_trained, select
from stylegan_jax.training.step import make_step
from stylegan_jax.training.transfer import Beginning
from tests import tiny
from tests.tiny import MODEL

PHASE = tiny.phase(16)


new_state = tiny.state


def source(model=MODEL, *, without=(), kimg=0.0):
    state = new_state(model, 1)
    names = ("g_params", "g_ema", "d_params", "w_avg", "noise")
    return Beginning(
        name="old",
        config=model,
        resolution=model.resolution,
        fields={name: getattr(state, name) for name in names if name not in without},
        kimg=kimg,
    )


def adopted(model, origin):
    return transfer.adopt(new_state(model, 2), model, origin)


def flat(tree):
    return traverse_util.flatten_dict(tree, sep="/")


def test_everything_comes_along_between_networks_of_one_kind():
    origin = source()
    state, rows = adopted(MODEL, origin)
    for name, value in origin.fields.items():
        chex.assert_trees_all_equal(getattr(state, name), value)
    assert all(row.copied == row.total and not row.fresh for row in rows)
    # New: moments, counts and what training overwrites in place.
    assert state.nimg == 0
    chex.assert_trees_all_equal(state.d_opt_state, new_state(MODEL, 2).d_opt_state)
    assert state.w_avg is not origin.fields["w_avg"]


def test_a_discriminator_that_is_missing_stays_fresh_and_is_told():
    origin = source(without=("d_params", "w_avg"))
    state, rows = adopted(MODEL, origin)
    chex.assert_trees_all_equal(state.d_params, new_state(MODEL, 2).d_params)
    text = transfer.table(origin, rows)
    count = len(jax.tree.leaves(state.d_params))
    assert (
        f"discriminator    0 of {count} arrays   fresh: {count} not in the file" in text
    )
    assert "generator       40 of 40 arrays\n" in text


@pytest.mark.parametrize("size", [8, 32])
def test_a_network_of_another_resolution_has_the_blocks_in_common(size):
    model = dataclasses.replace(MODEL, resolution=size)
    origin = source()
    state, rows = adopted(model, origin)
    for field in ("g_params", "g_ema", "d_params"):
        ours, theirs = flat(getattr(state, field)), flat(origin.fields[field])
        own = flat(getattr(new_state(model, 2), field))
        for name, value in ours.items():
            wanted = theirs.get(name, own[name])
            np.testing.assert_array_equal(value, wanted, err_msg=name)
    assert bool(rows[0].fresh) == (size == 32)
    assert len(state.noise) == model.num_layers
    np.testing.assert_array_equal(state.noise[3], origin.fields["noise"][3])


def draw(params, model, z, labels):
    generator = Generator(
        params=params, w_avg=None, noise=(), config=model, resolution=16
    )
    return generator.map(z, labels)[:, 0]


@pytest.mark.thorough
@pytest.mark.parametrize("embed", [True, False])
def test_a_network_gets_classes_and_draws_and_scores_as_before(embed):
    old = dataclasses.replace(MODEL, embed_labels=embed, normalize_z=False)
    new = dataclasses.replace(old, label_size=3)
    origin = source(old)
    state, rows = adopted(new, origin)
    rng = np.random.RandomState(0)
    z, labels = rng.randn(5, 6).astype("f"), np.eye(3, dtype="f")[[0, 1, 2, 0, 1]]
    before = draw(origin.fields["g_ema"], old, z, None)
    np.testing.assert_allclose(draw(state.g_ema, new, z, labels), before, atol=1e-5)
    images = rng.randn(4, 16, 16, 3).astype("f")
    scores = [
        discriminator_network(model).apply({"params": params}, images, given)
        for model, params, given in [
            (old, origin.fields["d_params"], None),
            (new, state.d_params, labels[:4]),
        ]
    ]
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-5)
    lacking = {row.part: sum(row.fresh.values()) for row in rows}
    assert lacking["generator"] == int(embed)  # the vectors of the classes
    # And back again.
    there = dict(origin.fields) | {"g_ema": state.g_ema, "d_params": state.d_params}
    with_classes = dataclasses.replace(origin, config=new, fields=there)
    back, _ = adopted(old, with_classes)
    chex.assert_trees_all_close(back.g_ema, origin.fields["g_ema"], rtol=1e-6)
    chex.assert_trees_all_close(back.d_params, origin.fields["d_params"], rtol=1e-6)


def test_other_widths_are_fresh_and_nothing_in_common_is_an_error():
    wide = dataclasses.replace(MODEL, channel_base=512, channel_max=32)
    origin = source()
    state, rows = adopted(wide, origin)
    chex.assert_trees_all_equal(
        state.g_params["mapping"], origin.fields["g_params"]["mapping"]
    )
    assert any("of another size (" in reason for reason in rows[0].fresh)
    other = dataclasses.replace(wide, z_dim=5, w_dim=7, mapping_width=9, num_channels=1)
    with pytest.raises(
        UserError, match=r"`init` old has nothing in common.*another size"
    ):
        adopted(other, origin)


CONFIG = Config(
    model=dataclasses.replace(MODEL, resolution=8),
    data=DataConfig(portraits_size=12),
    schedule=ScheduleConfig(
        initial_resolution=8, total_kimg=0.064, repeats=1, batch_size=ByResolution(8)
    ),
    checkpoint=CheckpointConfig(every_kimg=0.032, keep_last=9),
    run=RunConfig(tick_kimg=ByResolution(0.03), grid_columns=2, grid_rows=1),
)


def test_the_recipe_takes_the_networks_and_keeps_what_belongs_to_the_data():
    recipe = dataclasses.replace(
        CONFIG, augment=AugmentConfig(mode="ada"), model=ModelConfig(resolution=1024)
    )
    theirs = dataclasses.replace(MODEL, num_channels=1, label_size=4, dtype="bfloat16")
    config = transfer.with_networks(recipe, theirs, 8)
    assert config.model == MODEL
    assert config.schedule.initial_resolution == 8
    assert config.augment.kimg == 100
    own = dataclasses.replace(recipe, augment=AugmentConfig(mode="ada", kimg=7))
    assert transfer.with_networks(own, theirs, 32).augment.kimg == 7
    assert transfer.with_networks(own, theirs, 32).schedule.initial_resolution == 16


def test_the_image_count_is_the_end_of_a_call():
    schedule = ScheduleConfig(
        stable_kimg=1, fade_kimg=1, total_kimg=4, batch_size=ByResolution(30), repeats=2
    )
    assert transfer.first_image(schedule, 16, 0) == 0
    assert transfer.first_image(schedule, 16, 0.5) == 480
    # The fade begins after the first call beyond 1 kimg, at 1020.
    assert transfer.first_image(schedule, 16, 1.5) == 1020 + 480
    with pytest.raises(UserError, match=r"`init_kimg` 9 is not below .*total_kimg 4"):
        transfer.first_image(schedule, 16, 9)


def dry_run(capsys, *words):
    train_command.main(["configs/quickstart.py", "--dry-run", *words])
    lines = capsys.readouterr().out.splitlines()
    return dict(line.split(" = ", 1) for line in map(str.strip, lines) if " = " in line)


@pytest.mark.parametrize(
    ("words", "model", "begun"),
    [
        ([], 32, 32),
        (["--model.resolution=64"], 64, 32),
        (["--model.resolution", "16"], 16, 16),
        (["--schedule.initial_resolution", "8"], 32, 8),
    ],
)
def test_flags_override_the_other_networks(capsys, words, model, begun):
    found = dry_run(capsys, "--init", "portraits", *words)
    shown = {name.strip(): value for name, value in found.items()}
    assert shown["model.resolution"] == str(model)
    assert shown["schedule.initial_resolution"] == str(begun)
    assert shown["model.channel_base"] == "1024"  # quickstart itself has 512


def test_a_dry_run_says_that_random_weights_would_be_frozen(capsys):
    # Three layers are too many of the recipe, which begins at 4 px, and not of these.
    with pytest.raises(UserError, match="portraits comes without its discriminator"):
        dry_run(capsys, "--init", "portraits", "--optimizer.freeze-d", "3")


def test_an_image_count_needs_networks_to_begin_from(capsys):
    with pytest.raises(ValueError, match="--init-kimg goes with --init"):
        dry_run(capsys, "--init-kimg", "3")
    with pytest.raises(UserError, match="nowhere does not exist"):
        dry_run(capsys, "--init", "nowhere")
    with pytest.raises(UserError, match="--init-kimg -20"):
        dry_run(capsys, "--init", "portraits", "--init-kimg", "-20")
    words = ["--init-kimg", "500", "--optimizer.g-from-kimg", "1"]
    with pytest.raises(UserError, match="--init-kimg 500 is not below"):
        dry_run(capsys, "--init", "portraits", *words)


def test_a_flag_is_found_however_it_is_written():
    words = ["--a.b_c", "1", "--init=x", "--d"]
    assert cli.value_of("--a.b-c", words) == "1"
    assert cli.value_of("--init", words) == "x"
    assert cli.value_of("--d", words) == "" and cli.value_of("--e", words) is None


@pytest.mark.thorough
def test_a_run_begins_from_networks_counts_on_and_resumes_without_them(
    tmp_path, caplog
):
    caplog.set_level("INFO")
    mesh = parallel.make_mesh(1)
    beginning = source(kimg=0.033)  # the call that ends at 32 images
    rate = dataclasses.replace(CONFIG.optimizer, learning_rate=ByResolution(1e-9))
    config = dataclasses.replace(CONFIG, optimizer=rate)
    state = train(config, tmp_path / "run", mesh=mesh, beginning=beginning)
    assert state.nimg == 64
    # Hardly moved from where it began.
    lower = flat(beginning.fields["g_params"])
    for name, value in flat(state.g_params).items():
        np.testing.assert_allclose(value, lower[name], atol=1e-6, err_msg=name)
    text = caplog.text
    assert "begun from old, 16 px:" in text and "its average" in text
    assert (tmp_path / "run" / "samples" / "reals_000000.000.png").exists()
    caplog.clear()
    longer = dataclasses.replace(config.schedule, total_kimg=0.072)
    config = dataclasses.replace(config, schedule=longer)
    again = train(config, tmp_path / "run", mesh=mesh, beginning=beginning)
    assert again.nimg == 72
    assert "begun" not in caplog.text


def test_frozen_layers_are_counted_from_the_image():
    state = jax.eval_shape(
        lambda: init_state(jax.random.key(0), MODEL, OptimizerConfig())
    )
    order = [
        *("from_rgb16", "block16/conv0", "block16/conv1", "block8/conv0"),
        *("block8/conv1", "block4/conv", "block4/dense0", "block4/dense1"),
    ]
    for count in range(len(order)):
        kept = select((state.d_params, state.d_opt_state), PHASE, count)
        for tree in (kept[0], kept[1][0].nu):
            layers = {name.rsplit("/", 1)[0] for name in flat(tree)}
            assert layers == set(order[count:])
    fading = dataclasses.replace(PHASE, fading=True)
    assert not is_trained(("from_rgb8", "weight"), fading, 1)
    assert is_trained(("block8", "conv0", "weight"), fading, 3)
    lower = dataclasses.replace(PHASE, resolution=8)
    assert not is_trained(("block8", "conv1", "weight"), lower, 3)


@pytest.mark.thorough
def test_frozen_layers_and_their_moments_stay():
    optimizer, loss = OptimizerConfig(freeze_d=4), LossConfig(r1_gamma=0.0)
    phase = dataclasses.replace(PHASE, resolution=8)
    step = make_step(tiny.MODEL_8, loss, optimizer, phase, parallel.make_mesh(1))
    before = tiny.state(tiny.MODEL_8)
    images = np.random.RandomState(0).randint(0, 256, (1, 8, 8, 8, 3), np.uint8)
    batch = {"images": images, "labels": np.zeros((1, 8, 0), "f")}
    after, _ = step(jax.tree.map(jnp.array, before), batch, jax.random.key(0))
    moments = [flat(state.d_opt_state[0].nu) for state in (before, after)]
    params = [flat(state.d_params) for state in (before, after)]
    for name in params[0]:
        if name.startswith("from_rgb4"):
            continue  # not of this phase
        trained = is_trained(tuple(name.split("/")), phase, 4)
        assert trained == ("dense" in name)
        for old, new in (params, moments):
            assert bool(np.any(old[name] != new[name])) == trained, name


def test_freezing_all_is_refused():
    optimizer = OptimizerConfig(freeze_d=6)
    with pytest.raises(ValueError, match="at 8 px, where training begins, it has 6"):
        dataclasses.replace(CONFIG, optimizer=optimizer)
    fewer = OptimizerConfig(freeze_d=5)
    assert dataclasses.replace(CONFIG, optimizer=fewer)


def test_layers_of_random_weights_are_not_frozen(tmp_path):
    optimizer = OptimizerConfig(freeze_d=2)
    config = Config(model=MODEL, optimizer=optimizer)
    nothing = Beginning(
        name="box", config=MODEL, resolution=16, fields={"g_params": {}}
    )
    for beginning, lacks in (
        (None, "no network to begin from"),
        (nothing, "box comes without its discriminator"),
    ):
        with pytest.raises(UserError, match=lacks):
            train(config, tmp_path / "run", beginning=beginning)
        assert not (tmp_path / "run").exists()
    whole = dataclasses.replace(nothing, fields={"d_params": {}})
    transfer.check_frozen(optimizer, whole)


def test_the_generator_waits_for_a_new_discriminator():
    optimizer = OptimizerConfig(g_from_kimg=0.016)
    phase = dataclasses.replace(PHASE, resolution=8)
    step = make_step(
        tiny.MODEL_8, LossConfig(), optimizer, phase, parallel.make_mesh(1)
    )
    state = tiny.state(tiny.MODEL_8)
    images = np.random.RandomState(0).randint(0, 256, (1, 8, 8, 8, 3), np.uint8)
    batch = {"images": images, "labels": np.zeros((1, 8, 0), "f")}
    for nimg in (8, 16, 24):
        old_g, old_d = (
            flat(jax.device_get(x)) for x in (state.g_params, state.d_params)
        )
        state, _ = step(jax.tree.map(jnp.array, state), batch, jax.random.key(0))
        assert state.nimg == nimg
        moved = any(np.any(flat(state.g_params)[n] != x) for n, x in old_g.items())
        assert moved == (nimg > 16)
        assert any(np.any(flat(state.d_params)[n] != x) for n, x in old_d.items())


def test_only_a_new_discriminator_is_waited_for(monkeypatch, capsys):
    found = dry_run(
        capsys,
        "--init",
        "portraits",
        "--init-kimg",
        "1.5",
        "--schedule.total-kimg",
        "20",
    )
    assert {k.strip(): v for k, v in found.items()}["optimizer.g_from_kimg"] == "9.5"
    with pytest.raises(
        UserError, match=r"never be trained; raise --schedule\.total-kimg"
    ):
        dry_run(capsys, "--init", "portraits", "--schedule.total-kimg", "4")
    plain = transfer.with_networks(CONFIG, MODEL, 16)
    assert plain.optimizer.g_from_kimg == 0
