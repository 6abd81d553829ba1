"""Adversarial losses and gradient penalties, per sample, `[N]`.

Logits are float32 `[N]`, higher is more real; `softplus(-x)` is the cross-entropy
of calling `x` real. Penalties take a discriminator of images `[N, R, R, C]` alone.

Source: NVlabs/stylegan, `training/loss.py`.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import softplus

from stylegan_jax.errors import UserError
from stylegan_jax.limits import (
    require,
    require_not_negative,
    require_one_of,
    require_positive,
)

Discriminate = Callable[[Array], Array]
Objective = Literal["logistic", "logistic_saturating", "wgan", "wgan_gp", "hinge"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Adversarial objective, gradient penalties and style mixing.

    None means the value of the objective's source: R1 with 10 for the logistic ones,
    gradient penalty with 10 for `wgan_gp`, drift 0.001 for `wgan` and `wgan_gp`, and
    otherwise nothing.
    """

    objective: Objective = "logistic"  # logistic: the non-saturating loss
    r1_gamma: float | None = None  # on reals; the loss adds gamma / 2 |grad D|^2
    r2_gamma: float = 0.0  # the same on fakes
    gp_lambda: float | None = None  # between reals and fakes
    gp_target: float = 1.0  # the norm that the gradient penalty pulls to
    drift: float | None = None  # keeps the scores of reals near zero
    style_mixing: float = 0.9  # share of minibatches with two latents

    def __post_init__(self) -> None:
        require_one_of(self, "loss", GENERATOR_LOSSES, "objective")
        share = "not in 0 to 1"
        require(self, "loss", lambda x: 0 <= x <= 1, share, "style_mixing")
        penalties = ("r1_gamma", "r2_gamma", "gp_lambda", "drift")
        require_not_negative(self, "loss", *penalties)
        require_positive(self, "loss", "gp_target")

    def resolved(self) -> "LossConfig":
        """The same with every None replaced by the objective's own value."""
        objective = self.objective
        defaults = {
            "r1_gamma": 10.0 * (objective in ("logistic", "logistic_saturating")),
            "gp_lambda": 10.0 * (objective == "wgan_gp"),
            "drift": 1e-3 * (objective in ("wgan", "wgan_gp")),
        }
        missing = {k: v for k, v in defaults.items() if getattr(self, k) is None}
        return dataclasses.replace(self, **missing)


# Of scores of fakes: `G_logistic_nonsaturating` (Goodfellow et al. 2014, section 3),
# `G_logistic_saturating` (equation 1 there), `G_wgan`.
GENERATOR_LOSSES: dict[str, Callable[[Array], Array]] = {
    "logistic": lambda fakes: softplus(-fakes),
    "logistic_saturating": lambda fakes: -softplus(fakes),
    **dict.fromkeys(("wgan", "wgan_gp", "hinge"), lambda fakes: -fakes),
}
# Of scores of reals and of fakes: `D_logistic`, `D_wgan` without drift, `D_hinge`.
DISCRIMINATOR_LOSSES: dict[str, Callable[[Array, Array], Array]] = {
    **dict.fromkeys(
        ("logistic", "logistic_saturating"),
        lambda reals, fakes: softplus(fakes) + softplus(-reals),
    ),
    **dict.fromkeys(("wgan", "wgan_gp"), lambda reals, fakes: fakes - reals),
    "hinge": lambda reals, fakes: (
        jnp.maximum(0.0, 1 + fakes) + jnp.maximum(0.0, 1 - reals)
    ),
}


def register_loss(
    name: str,
    generator: Callable[[Array], Array],
    discriminator: Callable[[Array, Array], Array],
) -> None:
    """Registers an objective, for `LossConfig(objective=name)`; UserError if it exists.

    `generator` maps scores of fakes `[N]` to losses `[N]`, `discriminator` scores of
    reals and of fakes. There are no penalties but those that the config asks for.
    """
    if name in GENERATOR_LOSSES:
        raise UserError(f"there is an objective {name!r} already; give another name")
    GENERATOR_LOSSES[name] = generator
    DISCRIMINATOR_LOSSES[name] = discriminator


def logits_and_gradient_norms(
    discriminate: Discriminate, images: Array, shrinkage: int = 1
) -> tuple[Array, Array]:
    """Logits, and squared norms of their gradients by the images, `[N]` each.

    Norms are divided by `shrinkage ** 2`, final resolution over that of the images: the
    official discriminator averages down images enlarged to the final resolution.
    """
    logits, pull_back = jax.vjp(discriminate, images)
    (gradients,) = pull_back(jnp.ones_like(logits))
    norms = jnp.sum(jnp.square(gradients), axis=(1, 2, 3))
    return logits, norms / shrinkage**2


def gradient_penalty(
    discriminate: Discriminate,
    reals: Array,
    fakes: Array,
    mix: Array,
    *,
    target: float = 1.0,
    shrinkage: int = 1,
) -> Array:
    """Deviation of gradient norms from `target` between reals and fakes, `[N]`.

    `mix` is `[N]` in [0, 1], the weight of fakes; `shrinkage` is as in
    `logits_and_gradient_norms`. Source: `D_wgan_gp`; Gulrajani et al.
    2017, equation 3; ProGAN, appendix A.1 for other targets.
    """
    between = reals + (fakes - reals) * mix[:, None, None, None]
    _, squares = logits_and_gradient_norms(discriminate, between, shrinkage)
    # The root's derivative is infinite at 0.
    norms = jnp.sqrt(jnp.maximum(squares, 1e-24))
    return jnp.square(norms - target) / target**2
