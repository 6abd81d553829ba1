"""Train state, and the part of it that a phase uses."""

import dataclasses
import re
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct, traverse_util
from jax import Array
from jax.sharding import Mesh

from stylegan_jax.by_resolution import ByResolution, take_plain_values
from stylegan_jax.distributed import parallel
from stylegan_jax.io.summary import short_repr
from stylegan_jax.limits import require, require_not_negative, require_positive
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import Generator, Noise, init_generator
from stylegan_jax.networks.pair import discriminator_network
from stylegan_jax.training import adaptive
from stylegan_jax.training.adaptive import NO_AUGMENTATION, AugmentConfig, AugmentState
from stylegan_jax.training.schedule import Phase

_SIZED = re.compile(r"(block|to_rgb|from_rgb)(\d+)")
# Layers of the discriminator, in their order.
_IN_BLOCK, _IN_HEAD = ("conv0", "conv1"), ("conv", "dense0", "dense1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Adam, the same for both networks but for its rate, and the moving averages."""

    learning_rate: ByResolution[float] = ByResolution(
        0.001, ((128, 0.0015), (256, 0.002), (512, 0.003), (1024, 0.003))
    )
    d_rate: float = 1.0  # times learning_rate: the discriminator's
    beta1: float = 0.0
    beta2: float = 0.99
    epsilon: float = 1e-8
    ema_kimg: float = 10  # half-life of the generator's average, in 1000 images
    # Layers of the discriminator, counted from the image, that are not trained, as in
    # FreezeD: colours, then two for each resolution, three at 4 px.
    freeze_d: int = 0
    # Thousands of images after which the generator is trained too. A new discriminator
    # of a trained generator needs some: otherwise both lose what was learnt.
    g_from_kimg: float = 0.0
    w_avg_beta: float = 0.995  # decay of the mean of w, per evaluation of the mapping

    def __post_init__(self) -> None:
        take_plain_values(self)
        require_positive(self, "optimizer", "learning_rate", "d_rate", "epsilon")
        require_not_negative(self, "optimizer", "ema_kimg", "freeze_d", "g_from_kimg")
        names = ("beta1", "beta2", "w_avg_beta")
        require(self, "optimizer", lambda x: 0 <= x < 1, "not in [0, 1)", *names)


@struct.dataclass
class TrainState:
    """State of a run; a pytree of arrays."""

    nimg: Array  # real images shown so far, int32
    g_params: dict  # {"mapping": ..., "synthesis": ...}
    d_params: dict
    g_ema: dict  # moving average of g_params, which users get
    w_avg: Array  # moving mean of w, [w_dim]
    noise: Noise  # stored, for pictures; not trained
    g_opt_state: optax.OptState
    d_opt_state: optax.OptState
    # Of the controller of augmentation; empty without one.
    augment: AugmentState = struct.field(default_factory=dict)

    __repr__ = short_repr


def make_optimizer(
    config: OptimizerConfig, resolution: int = 4, factor: float = 1.0
) -> optax.GradientTransformation:
    """Adam at `factor` times the learning rate of `resolution`.

    The state does not depend on the learning rate; without a first moment (the paper's
    setting) none is stored. Source: Kingma & Ba 2015, algorithm 1; Karras et al. 2018,
    appendix C.
    """
    if config.beta1 == 0:
        scale = optax.scale_by_rms(
            config.beta2, config.epsilon, eps_in_sqrt=False, bias_correction=True
        )
    else:
        scale = optax.scale_by_adam(config.beta1, config.beta2, config.epsilon)
    return optax.chain(
        scale, optax.scale(-factor * config.learning_rate.at(resolution))
    )


def init_state(
    key: Array,
    model: ModelConfig,
    optimizer: OptimizerConfig,
    augment: AugmentConfig = NO_AUGMENTATION,
) -> TrainState:
    """A state with random weights, before the first image."""
    g_key, d_key = jax.random.split(key)
    generator = init_generator(g_key, model)
    labels = jnp.zeros((1, model.label_size)) if model.label_size else None
    images = jnp.zeros((1, model.resolution, model.resolution, model.num_channels))
    discriminator = discriminator_network(model)
    d_params = dict(discriminator.init(d_key, images, labels)["params"])
    assert generator.w_avg is not None
    tx = make_optimizer(optimizer)
    return TrainState(
        nimg=jnp.zeros((), jnp.int32),
        g_params=generator.params,
        d_params=d_params,
        g_ema=jax.tree.map(jnp.copy, generator.params),
        w_avg=generator.w_avg,
        noise=generator.noise,
        g_opt_state=tx.init(generator.params),
        d_opt_state=tx.init(d_params),
        augment=adaptive.init(augment),
    )


def shardings(state: TrainState, mesh: Mesh, *, spread: bool) -> TrainState:
    """Sharding of every array of the state; `state` needs shapes only.

    `spread` shards optimizer moments and the averaged generator (ZeRO, stage 1).
    """
    everywhere = parallel.replicated(mesh)
    places = jax.tree.map(lambda _: everywhere, state)
    if not spread:
        return places
    shared = jax.tree.map(lambda x: parallel.spread(x.shape, mesh), state)
    names = ("g_ema", "g_opt_state", "d_opt_state")
    return dataclasses.replace(places, **{x: getattr(shared, x) for x in names})


def place(state: TrainState, mesh: Mesh, *, spread: bool) -> TrainState:
    """The state with its `shardings`."""
    return parallel.place(state, shardings(state, mesh, spread=spread))


def reset_optimizers(state: TrainState, optimizer: OptimizerConfig) -> TrainState:
    """Resets the moments and step counts of both optimizers.

    Source: `reset_opt_for_new_lod`, NVlabs/stylegan, `training_loop.py`.
    """
    tx = make_optimizer(optimizer)
    return dataclasses.replace(
        state, g_opt_state=tx.init(state.g_params), d_opt_state=tx.init(state.d_params)
    )


def averaged(
    state: TrainState,
    model: ModelConfig,
    resolution: int,
    alpha: Array | float | None = None,
) -> Generator:
    """The averaged generator at a resolution, fading in or (None) stable."""
    return Generator(
        params=state.g_ema,
        w_avg=state.w_avg,
        noise=state.noise,
        alpha=None if alpha is None else jnp.asarray(alpha, jnp.float32),
        config=model,
        resolution=resolution,
    )


def generator_of(state: TrainState, model: ModelConfig, phase: Phase) -> Generator:
    """The averaged generator at the phase's resolution."""
    return averaged(state, model, phase.resolution, phase.alpha(state.nimg))


def is_active(path: tuple[str, ...], phase: Phase) -> bool:
    """Whether the phase's graph uses the parameter of this path."""
    match = next(filter(None, map(_SIZED.fullmatch, path)), None)
    if match is None:
        return True
    size = int(match[2])
    if match[1] == "block":
        return size <= phase.resolution
    return size == phase.resolution or (phase.fading and 2 * size == phase.resolution)


def is_trained(path: tuple[str, ...], phase: Phase, freeze_d: int) -> bool:
    """Whether a discriminator's parameter is none of its first `freeze_d` layers.

    Source: Mo et al. 2020, "Freeze the Discriminator".
    """
    match = _SIZED.fullmatch(path[0]) if freeze_d else None
    if match is None or match[1] == "from_rgb":
        return not freeze_d
    halvings = (phase.resolution // int(match[2])).bit_length() - 1
    within = _IN_BLOCK.index(path[1]) if match[2] != "4" else _IN_HEAD.index(path[1])
    return 1 + 2 * halvings + within >= freeze_d


def select(tree: Any, phase: Phase, freeze_d: int = 0) -> Any:
    """Keeps the active parameters (or optimizer states), without `freeze_d` layers."""

    def pick(node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        flat = traverse_util.flatten_dict(node, keep_empty_nodes=True)
        kept = {
            path: leaf
            for path, leaf in flat.items()
            if is_active(path, phase) and is_trained(path, phase, freeze_d)
        }
        return traverse_util.unflatten_dict(kept)

    return jax.tree.map(pick, tree, is_leaf=_is_dict)


def merge(tree: Any, active: Any) -> Any:
    """Puts `active`, made by `select`, back into the whole `tree`."""

    def update(whole: Any, part: Any) -> Any:
        if not isinstance(whole, dict):
            return part
        # Empty ones too: a mapping without layers.
        flat = traverse_util.flatten_dict(whole, keep_empty_nodes=True)
        flat |= traverse_util.flatten_dict(part, keep_empty_nodes=True)
        return traverse_util.unflatten_dict(flat)

    leaves, structure = jax.tree.flatten(tree, is_leaf=_is_dict)
    parts = jax.tree.leaves(active, is_leaf=_is_dict)
    merged = [update(a, b) for a, b in zip(leaves, parts, strict=True)]
    return jax.tree.unflatten(structure, merged)


def _is_dict(node: object) -> bool:
    return isinstance(node, dict)
