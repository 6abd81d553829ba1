"""Training of an encoder on a generator's own samples, and on photographs.

Samples have known latents; photographs are compared by their images only.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.inversion import terms
from stylegan_jax.inversion.code import Code, stored_noise
from stylegan_jax.inversion.encoder import Encoder, init_encoder
from stylegan_jax.inversion.feature_nets import NO_FEATURES, FeatureNets
from stylegan_jax.inversion.recipes import Stage, Weights, make_terms
from stylegan_jax.limits import require_not_negative, require_positive
from stylegan_jax.networks.generator import Generator, Noise


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Weights of the losses, and the optimizer."""

    steps: int = 5000
    batch_size: int = 8  # samples, and as many photographs where there are some
    learning_rate: float = 2e-3  # of Adam; falls to 0 along a cosine
    images: Weights = Weights(perceptual=0.0)  # of drawn images, as in an inversion
    latent: float = 0.02  # mean squared error of samples' w+, in standard deviations
    delta: float = 0.002  # mean square of the layers' differences from w
    mixing: float = 0.5  # share of samples with the styles of two w
    seed: int = 0

    def __post_init__(self) -> None:
        require_positive(self, "encoder", "steps", "batch_size", "learning_rate")
        require_not_negative(self, "encoder", "latent", "delta", "mixing")

    @property
    def stage(self) -> Stage:
        """The comparison of images as a stage of an inversion."""
        return Stage(name="encoder", moves="latent", weights=self.images)


class EncoderProgress(NamedTuple):
    """An encoder after `step` steps, and mean losses since the last one.

    `losses` are by name, `total` is their weighted sum; `state` goes on from here, as
    an argument of `train_encoder`.
    """

    step: int
    total: float
    losses: dict[str, float]
    encoder: Encoder
    state: Any


def train_encoder(
    generator: Generator,
    config: EncoderConfig = EncoderConfig(),
    *,
    photos: np.ndarray | None = None,
    features: FeatureNets = NO_FEATURES,
    state: Any = None,
    chunk: int = 50,
    **sizes: int,
) -> Iterator[EncoderProgress]:
    """Trains an encoder; yields it every `chunk` steps, and at the end::

        for progress in train_encoder(generator, photos=photos):
            print(progress.step, progress.losses)
        encoder = progress.encoder

    Args:
        photos: uint8 `[M, R, R, C]` of the generator's size, which it also learns from.
        features: that images are compared by, of `recipes.load_features`.
        state: of a step before (or a list of its leaves), to go on bit for bit.
        sizes: fields of `EncoderShape`.

    Raises:
        UserError: photographs of another size, or a network without styles.
    """
    key = jax.random.key(config.seed)
    encoder = init_encoder(key, generator, **sizes)
    size = (generator.resolution,) * 2 + (generator.config.num_channels,)
    if photos is not None and (
        photos.shape[1:] != size or photos.dtype != np.uint8 or not len(photos)
    ):
        raise UserError(
            f"photos are {photos.dtype} {photos.shape}; this network draws uint8 {size}"
        )
    optimizer = optax.adam(
        optax.cosine_decay_schedule(config.learning_rate, config.steps)
    )
    loss = _make_loss(config, features.own)

    def step(carry: Any, place: Array, fixed: Any) -> tuple[Any, Any]:
        params, moments = carry
        grad = jax.grad(loss, has_aux=True)
        gradient, losses = grad(params, *fixed, jax.random.fold_in(key, place))
        updates, moments = optimizer.update(gradient, moments, params)
        return (optax.apply_updates(params, updates), moments), losses

    @jax.jit
    def advance(carry: Any, places: Array, fixed: Any) -> tuple[Any, Any]:
        carry, losses = jax.lax.scan(lambda c, p: step(c, p, fixed), carry, places)
        return carry, jax.tree.map(jnp.mean, losses)

    carry = (encoder.params, optimizer.init(encoder.params))
    done = 0
    if state is not None:
        tree = jax.tree.structure((done, carry))
        done, carry = jax.tree.unflatten(tree, jax.tree.leaves(state))
        done = int(done)
    images = None if photos is None else jnp.asarray(photos)
    fixed = (encoder, generator, images, features._replace(own=None))
    while done < config.steps:
        places = jnp.arange(done, min(done + chunk, config.steps))
        carry, losses = advance(carry, places, fixed)
        losses = {name: float(value) for name, value in losses.items()}
        done += len(places)
        yield EncoderProgress(
            done,
            losses.pop("total"),
            losses,
            dataclasses.replace(encoder, params=carry[0]),
            (done, carry),
        )


def _make_loss(config: EncoderConfig, own: Any) -> Callable[..., Any]:
    def loss(
        params: Any,
        encoder: Encoder,
        generator: Generator,
        photos: Array | None,
        features: FeatureNets,
        key: Array,
    ) -> tuple[Array, dict[str, Array]]:
        encoder = dataclasses.replace(encoder, params=params)

        def compare(target: Array, noise: Noise) -> tuple[Array, Array, Array]:
            """w+, the loss of its images, and that of the layers' differences."""
            w, delta = encoder.parts(target)
            code = Code(encoder.in_w(w + delta), noise)
            seen = make_terms(config.stage, target, code, features._replace(own=own))
            drawn = generator.synthesize(code.ws, noise)
            return w + delta, terms.total(seen, drawn, code).mean(), (delta**2).mean()

        sample_key, photo_key = jax.random.split(key)
        code = draw_codes(generator, config, sample_key)
        target = generator.synthesize(code.ws, code.noise)
        found, image, delta = compare(target, code.noise)
        wanted = (code.ws - encoder.mean[None, None]) / encoder.std[None, None]
        losses = {"image": image, "latent": jnp.square(found - wanted).mean()}
        losses["delta"] = delta
        if photos is not None:
            count = config.batch_size
            chosen = photos[jax.random.randint(photo_key, (count,), 0, len(photos))]
            noise = stored_noise(generator, count)
            target = chosen.astype(jnp.float32) / 127.5 - 1
            _, image, delta = compare(target, noise)
            losses |= {"photo_image": image, "photo_delta": delta}
        weights = {"image": 1.0, "latent": config.latent, "delta": config.delta}
        total = sum(weights[k.removeprefix("photo_")] * v for k, v in losses.items())
        return jnp.asarray(total), {**losses, "total": jnp.asarray(total)}

    return loss


def draw_codes(generator: Generator, config: EncoderConfig, key: Array) -> Code:
    """Codes of samples, some with the styles of two w from a layer on."""
    z_key, label_key, cross_key, mix_key, noise_key = jax.random.split(key, 5)
    count, model = config.batch_size, generator.config
    z = jax.random.normal(z_key, (2 * count, model.z_dim))
    labels = None
    if model.label_size:
        classes = jax.random.randint(label_key, (count,), 0, model.label_size)
        labels = jnp.tile(jax.nn.one_hot(classes, model.label_size), (2, 1))
    first, second = jnp.split(generator.map(z, labels), 2)
    crossover = jax.random.randint(cross_key, (count,), 1, max(model.num_ws, 2))
    mixed = jax.random.bernoulli(mix_key, config.mixing, (count,))
    later = jnp.arange(model.num_ws)[None] >= crossover[:, None]
    ws = jnp.where((later & mixed[:, None])[..., None], second, first)
    return Code(ws, generator.draw_noise(noise_key, count))
