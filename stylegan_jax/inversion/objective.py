"""The objective of a stage: its terms and their feature networks."""

import dataclasses
import os
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
from jax import Array
from jax.sharding import Sharding

from stylegan_jax.errors import UserError
from stylegan_jax.features import lpips, vgg16
from stylegan_jax.features.extractor import FrozenNetwork, Params
from stylegan_jax.inversion import resuming, terms
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.recipes import Recipe, Stage
from stylegan_jax.inversion.terms import Term

_Path = str | os.PathLike[str] | None


class FeatureNets(NamedTuple):
    """Frozen networks that compare images; None is unused."""

    vgg16: Params | None = None
    lpips: Params | None = None
    own: FrozenNetwork | None = None

    def put(self, sharding: Sharding) -> "FeatureNets":
        """The networks on other devices."""
        own = self.own
        vgg16, lpips = jax.device_put((self.vgg16, self.lpips), sharding)
        if own is not None:
            own = dataclasses.replace(own, params=jax.device_put(own.params, sharding))
        return FeatureNets(vgg16, lpips, own)

    def contents(self) -> Iterator[bytes]:
        """Bytes of the networks, for `resuming.identity`."""
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
    """Loads only the networks that a recipe has weights for.

    Paths are of torchvision's VGG16 and LPIPS's linear layers, which are fetched by
    default; `own` is a custom network. UserError if weights cannot be had.
    """
    wanted = {
        name: any(getattr(stage.weights, name) for stage in recipe.stages)
        for name in ("perceptual", "style", "lpips", "own")
    }
    if wanted["own"] and own is None:
        raise UserError("`perceptual` own needs `features` FILE, a network of your own")
    looks = wanted["perceptual"] or wanted["style"]
    try:
        return FeatureNets(
            vgg16.load(vgg16_path) if looks else None,
            lpips.load(trunk=vgg16_path, linear=lpips_path)
            if wanted["lpips"]
            else None,
            own if wanted["own"] else None,
        )
    except UserError as error:
        raise UserError(
            f"{error}; or invert without it: `perceptual` none (pixels only), or "
            "`perceptual` own `features` FILE"
        ) from error


def make_terms(
    stage: Stage, targets: Array, start: Code, features: FeatureNets
) -> tuple[Term, ...]:
    """The weighted terms of a stage that begins at `start`, for targets in [-1, 1]."""
    weights = stage.weights
    made: list[Term] = []
    if weights.pixel:
        made.append(terms.PixelTerm(targets, weight=weights.pixel))
    for field, network, make in (
        ("perceptual", "vgg16", partial(terms.perceptual_term, layers=stage.layers)),
        ("style", "vgg16", terms.style_term),
        ("lpips", "lpips", terms.lpips_term),
        ("own", "own", terms.feature_term),
    ):
        weight, loaded = getattr(weights, field), getattr(features, network)
        if weight and loaded is None:
            raise UserError(f"stage {stage.name} needs the network {network}")
        if weight:
            made.append(make(targets, loaded, weight=weight))
    if not made:
        raise UserError(f"stage {stage.name} has no weight on the image; give it one")
    if weights.stay:
        made.append(terms.StayTerm(start.ws, weights.stay))
    if weights.white:
        made.append(terms.NoiseWhiteTerm(weights.white))
    return tuple(made)
