"""Augmentation in training: configuration, and adaptive augmentation (ADA).

The overfitting heuristic r_t is the mean sign of the discriminator's scores on reals.
Above the target, the probability of augmentation rises; below it, it falls.

Source: Karras et al. 2020, "Training Generative Adversarial Networks with Limited
Data", section 3; `augment_pipe` in NVlabs/stylegan2-ada-pytorch, `training_loop.py`.
"""

import dataclasses
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import Array

from stylegan_jax.augment import diffaugment, values
from stylegan_jax.augment.values import PIPES, Values
from stylegan_jax.errors import UserError
from stylegan_jax.limits import require, require_one_of, require_positive

_INTERVAL = 4  # minibatches between two changes of p
AugmentState = dict[str, Array]  # empty where p is fixed
Mode = Literal["none", "ada", "fixed", "diffaugment"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Augmentation of what the discriminator sees, for small data sets.

    ada: with a probability p that follows the discriminator's overfitting. fixed: with
    probability p. diffaugment: colours, shift and cut-out, always (Zhao et al. 2020).
    """

    mode: Mode = "none"
    pipe: str = "bgc"  # which augmentations: blit, geom, color, ..., bg, bgc, bgcfnc
    p: float = 0.0  # probability of each; of ada, where it begins
    target: float = 0.6  # ada: of the mean sign of the scores on reals
    kimg: float = 500  # ada: thousands of images in which p could go from 0 to 1

    def __post_init__(self) -> None:
        require_one_of(self, "augment", get_args(Mode), "mode")
        require_one_of(self, "augment", PIPES, "pipe")
        require(self, "augment", lambda x: 0 <= x <= 1, "not in 0 to 1", "p")
        between = "not between -1 and 1"
        require(self, "augment", lambda x: -1 < x < 1, between, "target")
        require_positive(self, "augment", "kimg")
        if self.p and self.mode in ("none", "diffaugment"):
            raise UserError(
                f"augment.p is {self.p}, but augment.mode {self.mode} does not use it; "
                "set augment.mode to fixed or ada"
            )

    @property
    def active(self) -> bool:
        """Whether anything is ever augmented."""
        return self.mode in ("ada", "diffaugment") or (
            self.mode == "fixed" and self.p > 0
        )


NO_AUGMENTATION = AugmentConfig()
# Fewer images are memorised by the discriminator (figure 1 of the paper).
FEW_IMAGES = 20_000


def advice(config: AugmentConfig, images: int) -> str | None:
    """Hint to use augmentation, for small data sets without it."""
    if config.active or images >= FEW_IMAGES:
        return None
    return (
        f"{images:,} images are few: the discriminator may learn them by heart; "
        "`augment.mode` ada keeps it from that"
    )


def init(config: AugmentConfig) -> AugmentState:
    """The controller's state before the first image.

    `p`, float32, and since its last change the sum of `signs`, and how many `images`
    and `minibatches`, int32.
    """
    if config.mode != "ada":
        return {}
    # Separate arrays, as the step donates them.
    counts = {k: jnp.zeros((), jnp.int32) for k in ("signs", "images", "minibatches")}
    return {"p": jnp.asarray(config.p, jnp.float32), **counts}


def draw(
    config: AugmentConfig, state: AugmentState, key: Array, shape: tuple[int, ...]
) -> Values:
    """Augmentation values for a minibatch of shape `[N, H, H, C]`."""
    if config.mode == "diffaugment":
        return diffaugment.draw(key, shape)
    p = state["p"] if config.mode == "ada" else config.p
    return values.draw(key, PIPES[config.pipe], p, shape)


def count(state: AugmentState, mean_sign: Array, batch_size: int) -> AugmentState:
    """The state after a minibatch with this mean sign of scores on reals."""
    if not state:
        return state
    # The mean over the devices has rounding errors.
    signs = jnp.round(mean_sign * batch_size).astype(jnp.int32)
    return {
        "p": state["p"],
        "signs": state["signs"] + signs,
        "images": state["images"] + batch_size,
        "minibatches": state["minibatches"] + 1,
    }


def adjust(config: AugmentConfig, state: AugmentState) -> AugmentState:
    """The state with p changed, if enough minibatches have been counted."""
    if not state:
        return state
    images = state["images"].astype(jnp.float32)
    r_t = state["signs"] / jnp.maximum(images, 1)
    step = jnp.sign(r_t - config.target) * images / (config.kimg * 1000)
    due = state["minibatches"] >= _INTERVAL
    changed = {name: jnp.zeros_like(value) for name, value in state.items()}
    changed["p"] = jnp.maximum(state["p"] + step, 0)
    return jax.tree.map(lambda new, old: jnp.where(due, new, old), changed, state)
