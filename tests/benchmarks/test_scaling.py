"""The bytes of a step, against the collectives of the compiled program."""

import math

import jax
import pytest

from benchmarks import collectives, scaling
from benchmarks.train_step import make_phase
from stylegan_jax.networks.config import ModelConfig

MODEL = ModelConfig(
    resolution=32,
    z_dim=8,
    w_dim=8,
    mapping_width=8,
    mapping_layers=2,
    channel_base=128,
    channel_max=8,
)


@pytest.mark.parametrize(
    ("resolution", "fading"),
    [
        (8, False),
        pytest.param(16, True, marks=pytest.mark.slow),
        pytest.param(16, False, marks=pytest.mark.slow),
        pytest.param(32, True, marks=pytest.mark.slow),
        pytest.param(32, False, marks=pytest.mark.slow),
    ],
)
def test_the_volume_is_that_of_the_compiled_program(
    resolution: int, fading: bool
) -> None:
    phase = make_phase(resolution, 16, fading=fading)
    expected = scaling.volume(MODEL, phase).total
    assert scaling.compiled_volume(MODEL, phase) == expected
    # Beside the gradients, each once: the mean of w, once per network, and metrics.
    sent = scaling.volume(MODEL, phase)
    assert expected == sent.generator + sent.discriminator + 4 * (2 * 8 + 5)


def test_gradients_are_those_of_the_layers_in_use() -> None:
    """By hand: 8 px of two mapping layers and channels of 8."""
    sent = scaling.volume(MODEL, make_phase(8, 16))
    dense, conv, style = 8 * 8 + 8, 9 * 8 * 8 + 8, 8 * 16 + 16
    layer = 8 + style  # noise strengths and the style of each of four
    const, bias, to_rgb = 16 * 8, 8, 3 * 8 + 3
    # The first layer has a bias beside its constant.
    assert sent.generator == 4 * (
        2 * dense + const + bias + 3 * conv + 4 * layer + to_rgb
    )
    from_rgb, last = 3 * 8 + 8, 9 * 9 * 8 + 8 + 128 * 8 + 8 + 8 + 1
    assert sent.discriminator == 4 * (from_rgb + 2 * conv + last)


def test_collectives_are_read_from_the_text_of_a_program() -> None:
    text = """
  %a = f32[3,4]{1,0} all-reduce(%b), channel_id=1, metadata={op_name="jit(f)/x"}
  %c = (bf16[8]{0}, s32[]) all-reduce(%d, %e), to_apply=%add
  %f = f32[2,2]{1,0} all-gather-start(%g), dimensions={0}
  %h = f32[9]{0} add(%all-reduce.1, %k)
  %l = f32[3,4]{1,0} get-tuple-element(%all-reduce.2), index=0
"""
    found = collectives.read(text)
    assert [(c.kind, c.shape, c.num_bytes) for c in found] == [
        ("all-reduce", (3, 4), 48),
        ("all-reduce", (8,), 16),
        ("all-reduce", (), 4),
        ("all-gather", (2, 2), 16),
    ]
    assert found[0].name == "jit(f)/x"


def test_a_program_that_sums_over_devices_has_the_bytes_of_its_sum() -> None:
    mesh = jax.sharding.Mesh(jax.devices()[:4], ("data",))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    total = jax.jit(lambda x: x.sum(0), in_shardings=split, out_shardings=whole)
    text = total.lower(jax.ShapeDtypeStruct((8, 5, 3), "float32")).compile().as_text()
    assert [(c.kind, c.num_bytes) for c in collectives.read(text or "")] == [
        ("all-reduce", 60)
    ]


def test_predictions_are_of_the_formula() -> None:
    machine = scaling.Machine("x", 1e12, lambda devices: 1e9 * devices)
    phase = make_phase(8, 16)
    compute, sent = scaling.predict(MODEL, phase, machine, 4)
    num_bytes = scaling.volume(MODEL, phase).total
    flop = 16 * scaling.analytic.training_flops(MODEL, 8)
    assert math.isclose(compute, flop / (4 * 1e12 * 0.3))
    assert math.isclose(sent, 2 * 3 / 4 * num_bytes / 4e9 + 2 * 50e-6)
    assert math.isclose(scaling.efficiency((3.0, 1.0)), 0.75)
    alone = scaling.predict(MODEL, phase, machine, 1)
    assert scaling.efficiency(alone) == 1
