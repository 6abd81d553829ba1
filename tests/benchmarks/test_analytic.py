import re

import pytest
from flax import traverse_util
from jax import eval_shape

from benchmarks import analytic
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.training.state import OptimizerConfig, init_state


def gmacs(layers):
    return sum(layer.macs for layer in layers) / 1e9


@pytest.mark.parametrize(
    ("resolution", "expected"), [(128, 18.2), (256, 22.8), (512, 27.4), (1024, 31.9)]
)
def test_forward_passes_take_what_the_specification_says(resolution, expected):
    generator = gmacs(analytic.generator_layers(ModelConfig(), resolution))
    assert generator == pytest.approx(expected, abs=0.0501)  # 27.35 reads 27.4 there
    discriminator = gmacs(analytic.discriminator_layers(ModelConfig(), resolution))
    assert discriminator == pytest.approx(generator, rel=0.001)


@pytest.mark.parametrize(
    "make", [analytic.generator_layers, analytic.discriminator_layers]
)
def test_blocks_take_what_the_specification_says(make):
    layers = make(ModelConfig(), 1024)
    per_block = {8: 0.30, 16: 1.21, 32: 4.83, 64: 7.25}
    per_block |= dict.fromkeys((128, 256, 512, 1024), 4.56)
    for resolution, expected in per_block.items():
        convolutions = [
            layer
            for layer in layers
            if layer.name in (f"block{resolution}/conv0", f"block{resolution}/conv1")
        ]
        assert len(convolutions) == 2
        assert gmacs(convolutions) == pytest.approx(expected, abs=0.00501)


CONFIGS = {
    "official": ModelConfig(),
    "labels": ModelConfig(resolution=16, label_size=7, channel_max=24),
    "progan": ModelConfig(
        resolution=32,
        label_size=5,
        embed_labels=False,
        mapping_layers=0,
        normalize_z=False,
        w_dim=517,
        use_styles=False,
        const_input=False,
        use_noise=False,
        channel_max=32,
    ),
    "gray": ModelConfig(
        resolution=128, num_channels=1, z_dim=20, mapping_width=30, w_dim=40
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("fading", [False, True])
def test_every_active_weight_counts_once_for_each_of_its_positions(name, fading, key):
    # The oracle: sizes of the real tree's weights, times where they are applied.
    config = CONFIGS[name]
    top = config.resolution
    state = eval_shape(lambda key: init_state(key, config, OptimizerConfig()), key)
    shown = {top, top // 2} if fading else {top}

    def expected(params, resampling):
        result = {}
        for path, leaf in traverse_util.flatten_dict(params, sep="/").items():
            path = path.removeprefix("synthesis/").replace("mapping/label", "label")
            layer, _, leaf_name = path.rpartition("/")
            size = int(re.sub(r"\D", "", path.split("/")[0]) or 0)
            if leaf_name != "weight" or ("rgb" in path and size not in shown):
                continue
            positions = size**2 if leaf.ndim == 4 else 1
            result[layer] = leaf.size * positions
            if layer == f"block{size}/{resampling}" and size >= 128:
                # 4 taps per pixel of the higher resolution instead of 9.
                result[layer] = result[layer] * 4 // 9
        return result

    for make, params, resampling in (
        (analytic.generator_layers, state.g_params, "conv0"),
        (analytic.discriminator_layers, state.d_params, "conv1"),
    ):
        layers = make(config, top, fading=fading)
        counted = {layer.name: layer.macs for layer in layers}
        assert len(counted) == len(layers)
        assert counted == expected(params, resampling)


def test_fusing_everywhere_saves_five_ninths_of_the_resampling_convolutions():
    config = ModelConfig(resolution=64)
    saved = analytic.sampling_flops(config, 64) - analytic.sampling_flops(
        config, 64, fused_from=8
    )
    layers = {x.name: x.macs for x in analytic.generator_layers(config, 64)}
    convolutions = sum(layers[f"block{r}/conv0"] for r in (8, 16, 32, 64))
    assert saved == 2 * convolutions * 5 // 9


def test_resolutions_above_the_network_are_refused():
    with pytest.raises(ValueError, match="above the network's 64 px"):
        analytic.training_flops(ModelConfig(resolution=64), 128)
