"""Our architecture as official arguments; the other way is in `test_stylegan_tf`."""

import dataclasses
from typing import Any

import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.interop.official_arguments import is_unfused, official_kwargs
from stylegan_jax.networks.config import ModelConfig

CONFIG = ModelConfig()
PROGAN: dict[str, Any] = {
    "mapping_layers": 0,
    "embed_labels": False,
    "blur": False,
    "use_styles": False,
    "const_input": False,
    "use_noise": False,
    "use_instance_norm": False,
    "use_pixel_norm": True,
    "fused_from": 8,
}


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("G_style", {}, {}),
        ("G_style", {"dtype": "bfloat16", "remat": True, "mbstd_group_size": 0}, {}),
        (
            "G_style",
            {"channel_base": 4096, "blur": False},
            {"fmap_base": 2048, "blur_filter": None},
        ),
        ("G_style", {"fused_from": 8}, {"fused_scale": True}),
        ("G_style", {"fused_from": 2048}, {"fused_scale": False}),
        # Below 128 px nothing is fused with "auto": the same network.
        ("G_style", {"fused_from": 100, "resolution": 64}, {"resolution": 64}),
        ("G_style", {"fused_from": 100}, {}),  # 128 px and up, as with "auto"
        ("D_basic", {}, {"num_channels": 3, "resolution": 1024}),
        ("D_basic", {"z_dim": 3, "resolution": 32, "num_channels": 1}, {}),
        ("D_basic", {"fused_from": 64}, {"num_channels": 3, "resolution": 1024}),
        (
            "G_paper",
            PROGAN,
            {"num_channels": 3, "resolution": 1024, "latent_size": 512},
        ),
        (
            "D_paper",
            {**PROGAN, "fused_from": 2048, "resolution": 32},
            {"num_channels": 3, "fused_scale": False},
        ),
    ],
)
def test_only_what_differs_from_the_official_defaults_is_said(
    kind: str, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = official_kwargs(dataclasses.replace(CONFIG, **changes), kind)
    assert found == expected
    unfused = kind.endswith("paper") and changes["fused_from"] > 1024
    assert is_unfused(kind, found) == unfused


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("G_style", {"fused_from": 64}, r"G_style, .*model\.fused_from=64; convert to"),
        (
            "G_style",
            {"label_size": 3, "embed_labels": False},
            r"no arguments for model\.embed_labels=False; convert",
        ),
        ("G_style", {"channel_base": 16385}, r"model\.channel_base=16385"),
        ("G_style", {"z_dim": 1 << 20}, "latent_size=1048576"),
        ("G_paper", {}, r"model\.mapping_layers=8.*model\.use_styles=True"),
        ("G_paper", {**PROGAN, "fused_from": 64}, r"model\.fused_from=64"),
        ("D_paper", {**PROGAN, "mbstd_num_features": 2}, r"mbstd_num_features=2"),
        ("D_paper", {}, r"D_paper, .*model\.blur=True"),
    ],
)
def test_what_official_arguments_cannot_say_is_refused_by_name(
    kind: str, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        official_kwargs(dataclasses.replace(CONFIG, **changes), kind)
