"""From weights to terms: the objective of a stage, for some target images."""

import dataclasses
import os
from collections.abc import Iterator
from typing import NamedTuple

import jax
from jax import Array
from jax.sharding import Sharding

from stylegan_jax.errors import UserError
from stylegan_jax.features import lpips, vgg16
from stylegan_jax.features.extractor import FrozenNetwork, Params
from stylegan_jax.inversion import resuming, terms
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.recipes import Recipe, Stage, Weights
from stylegan_jax.inversion.terms import Term

_Path = str | os.PathLike[str] | None


class FeatureNets(NamedTuple):
    """The frozen networks that look at images; None where none is wanted."""

    vgg16: Params | None = None
    lpips: Params | None = None
    own: FrozenNetwork | None = None

    def put(self, sharding: Sharding) -> "FeatureNets":
        """The same on other devices."""
        own = self.own
        if own is not None:
            own = dataclasses.replace(own, params=jax.device_put(own.params, sharding))
        return FeatureNets(
            jax.device_put(self.vgg16, sharding),
            jax.device_put(self.lpips, sharding),
            own,
        )

    def contents(self) -> Iterator[bytes]:
        """What the networks hold, for `resuming.identity`; nothing without any."""
        yield from resuming.contents((self.vgg16, self.lpips))
        if self.own is not None:
            yield self.own.name.encode()
            yield from resuming.contents(self.own.params)


NO_FEATURES = FeatureNets()


def load_features(
    recipe: Recipe,
    *,
    vgg16_path: _Path = None,
    lpips_path: _Path = None,
    own: FrozenNetwork | None = None,
) -> FeatureNets:
    """Loads the networks that a recipe has weights for, and no others.

    Args:
        recipe: whose terms they are for.
        vgg16_path: your own copy of torchvision's weights; otherwise they are fetched.
        lpips_path: likewise, of LPIPS's linear layers.
        own: a network of your own.

    Raises:
        UserError: weights cannot be had; says how to go on without them.
    """
    wanted = Weights(
        **{
            name: max(getattr(stage.weights, name) for stage in recipe.stages)
            for name in Weights.__dataclass_fields__
        }
    )
    if wanted.own and own is None:
        raise UserError("`perceptual` own needs `features` FILE, a network of your own")
    try:
        return FeatureNets(
            vgg16=vgg16.load(vgg16_path) if wanted.perceptual or wanted.style else None,
            lpips=lpips.load(trunk=vgg16_path, linear=lpips_path)
            if wanted.lpips
            else None,
            own=own if wanted.own else None,
        )
    except UserError as error:
        raise UserError(
            f"{error}; or invert without it: `perceptual` none (pixels only), or "
            "`perceptual` own `features` FILE"
        ) from error


def make_terms(
    stage: Stage, targets: Array, start: Code, features: FeatureNets
) -> tuple[Term, ...]:
    """The terms of a stage.

    Args:
        stage: with the weights; terms without weight are left out.
        targets: what the images should be, `[N, H, W, C]` in [-1, 1].
        start: where the stage begins.
        features: the networks that the terms need.

    Raises:
        UserError: a network is missing, or all weights are 0.
    """
    weights, made = stage.weights, []
    for name, network, weight in (
        ("vgg16", features.vgg16, weights.perceptual or weights.style),
        ("lpips", features.lpips, weights.lpips),
        ("own", features.own, weights.own),
    ):
        if weight and network is None:
            raise UserError(f"stage {stage.name} needs the network {name}")
    if weights.pixel:
        made.append(terms.PixelTerm(targets, weight=weights.pixel))
    if weights.perceptual and features.vgg16 is not None:
        made.append(
            terms.perceptual_term(
                targets, features.vgg16, weight=weights.perceptual, layers=stage.layers
            )
        )
    if weights.style and features.vgg16 is not None:
        made.append(terms.style_term(targets, features.vgg16, weight=weights.style))
    if weights.lpips and features.lpips is not None:
        made.append(terms.lpips_term(targets, features.lpips, weight=weights.lpips))
    if weights.own and features.own is not None:
        made.append(terms.feature_term(targets, features.own, weight=weights.own))
    if not made:
        raise UserError(f"stage {stage.name} has no weight on the image; give it one")
    if weights.stay:
        made.append(terms.StayTerm(start.ws, weights.stay))
    if weights.white:
        made.append(terms.NoiseWhiteTerm(weights.white))
    return tuple(made)


def combined_terms(
    x: Array,
    y: Array,
    vgg16_params: Params | None,
    *,
    mask_pixel: Array | None = None,
    mask_percept: Array | None = None,
    mask_style: Array | None = None,
    pixel_x: float = 1e-5,
    pixel_y: float = 1e-5,
    perceptual: float = 1e-5,
    style: float = 5e-7,
) -> tuple[Term, ...]:
    """The whole objective of Image2StyleGAN++, equation 1, with its three masks.

    Pixels of `x` count where `mask_pixel` is, those of `y` where it is not; what is
    seen should be as `x` where `mask_percept` is, and the style that of `y` where
    `mask_style` is. Masks are `[N or 1, H, W, 1]`; None is 1 everywhere.

    Args:
        x: the first reference, `[N, H, W, C]` in [-1, 1].
        y: the second one.
        vgg16_params: of `features.vgg16.load`; None if no term needs them.
        mask_pixel: M_m.
        mask_percept: M_p.
        mask_style: M_s.
        pixel_x: lambda_mse1; 0 leaves its term out, as with the others.
        pixel_y: lambda_mse2; it has no term without `mask_pixel`, nothing being left.
        perceptual: lambda_p.
        style: lambda_s.

    Raises:
        UserError: VGG16 is needed and missing.
    """
    made: list[Term] = []
    if pixel_x:
        made.append(terms.PixelTerm(x, mask_pixel, pixel_x))
    if pixel_y and mask_pixel is not None:
        made.append(terms.PixelTerm(y, 1 - mask_pixel, pixel_y))
    if (perceptual or style) and vgg16_params is None:
        raise UserError("the perceptual and the style term need VGG16's parameters")
    if perceptual and vgg16_params is not None:
        made.append(
            terms.perceptual_term(x, vgg16_params, mask=mask_percept, weight=perceptual)
        )
    if style and vgg16_params is not None:
        made.append(terms.style_term(y, vgg16_params, mask=mask_style, weight=style))
    return tuple(made)
