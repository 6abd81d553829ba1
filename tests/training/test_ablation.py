import dataclasses

import pytest

from stylegan_jax.interop.stylegan_tf import model_config
from stylegan_jax.interop.unpickle import read_networks
from stylegan_jax.io.records import flatten
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.training.ablation import CONFIGURATIONS, configured
from stylegan_jax.training.config import Config
from stylegan_jax.training.losses import LossConfig

F = Config(model=ModelConfig(resolution=32, z_dim=16, w_dim=16), loss=LossConfig())
STEPS = {  # from each configuration to the next: what the paper added
    "ab": {
        "model.blur": (False, True),
        "model.fused_from": (8, 128),
        "model.embed_labels": (False, True),
        "loss.objective": ("wgan_gp", "logistic"),
        "schedule.initial_resolution": (4, 8),
    },
    "bc": {
        "model.mapping_layers": (0, 8),
        "model.use_styles": (False, True),
        "model.use_pixel_norm": (True, False),
        "model.use_instance_norm": (False, True),
    },
    "cd": {"model.const_input": (False, True)},
    "de": {"model.use_noise": (False, True)},
    "ef": {"loss.style_mixing": (0.0, 0.9)},
}


@pytest.mark.parametrize("pair", STEPS)
def test_each_configuration_differs_from_the_next_in_what_the_paper_added(pair):
    before, after = (flatten(configured(F, letter)) for letter in pair)
    changed = {k: (before[k], after[k]) for k in after if before[k] != after[k]}
    assert changed == STEPS[pair]


def test_f_is_what_was_given_and_letters_may_be_large():
    assert configured(F, "f") == F
    assert configured(F, "B") == configured(F, "b")
    assert "".join(CONFIGURATIONS) == "abcdef"


def test_a_takes_the_penalties_of_its_own_objective_and_length():
    own = dataclasses.replace(F, loss=LossConfig(r1_gamma=1.0))
    loss = configured(own, "a").loss.resolved()
    assert (loss.r1_gamma, loss.gp_lambda, loss.drift) == (0, 10, 0.001)
    assert configured(own, "b").loss.r1_gamma == 1.0
    assert configured(F, "a", progan_kimg=7).schedule.total_kimg == 7
    assert configured(F, "b", progan_kimg=7).schedule.total_kimg == 25_000


def test_an_unknown_letter_is_told_the_others():
    with pytest.raises(ValueError, match="no configuration 'g'; there are a: "):
        configured(F, "g")


@pytest.mark.parametrize(
    ("letter", "name"),
    [
        ("a", "progan_res32"),
        ("c", "ablation_b_traditional_input"),  # with styles, whatever its name says
        ("d", "ablation_d_no_noise"),
        ("f", "stylegan_res32"),
    ],
)
def test_the_networks_are_those_of_the_official_pickles(letter, name, shared_dir):
    path = shared_dir / "reference" / "official" / f"{name}.pkl"
    official = model_config(read_networks(path)["Gs"])
    sizes = ("resolution", "z_dim", "w_dim", "channel_base", "channel_max")
    sizes = {size: getattr(official, size) for size in (*sizes, "mapping_width")}
    base = dataclasses.replace(F, model=ModelConfig(**sizes))
    assert configured(base, letter).model == official
