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
from stylegan_jax.inversion.code import stored_noise
from stylegan_jax.inversion.encoder import Encoder, init_encoder
from stylegan_jax.io import images
from stylegan_jax.limits import require_not_negative, require_positive
from stylegan_jax.metrics.reconstruction import report
from stylegan_jax.networks.generator import Generator

# (images, targets) in [-1, 1] -> distance, a scalar.
Distance = Callable[[Array, Array], Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Weights of the losses, which are means over all numbers, and the optimizer."""

    steps: int = 5000
    batch_size: int = 16  # samples, and as many photographs where there are some
    learning_rate: float = 1e-3  # Adam; falls to 0 along a cosine
    pixel: float = 1.0  # squared difference of images in [-1, 1]
    perceptual: float = 1.0  # of the distance given to `train_encoder`
    latent: float = 0.1  # squared error of w+ of samples, in standard deviations
    delta: float = 0.01  # square of the layers' differences from w
    mixing: float = 0.5  # share of samples with the styles of two w
    seed: int = 0

    def __post_init__(self) -> None:
        require_positive(self, "encoder", "steps", "batch_size", "learning_rate")
        weights = ("pixel", "perceptual", "latent", "delta", "mixing")
        require_not_negative(self, "encoder", *weights)


class EncoderProgress(NamedTuple):
    """An encoder after `step` steps, and mean losses by name since the last one.

    `state` goes on from here, as an argument of `train_encoder`.
    """

    step: int
    losses: dict[str, float]
    encoder: Encoder
    state: Any


def train_encoder(
    generator: Generator,
    config: EncoderConfig = EncoderConfig(),
    *,
    photos: np.ndarray | None = None,
    distance: Distance | None = None,
    state: Any = None,
    chunk: int = 50,
    **sizes: int,
) -> Iterator[EncoderProgress]:
    """Trains an encoder; yields it every `chunk` steps, and at the end.

    Args:
        photos: uint8 `[M, R, R, C]` of the generator's size, which it also learns from.
        distance: of images, perceptual, for `config.perceptual`.
        state: of a step before, to go on bit for bit.
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
    loss = _make_loss(config, distance)

    def step(carry: Any, place: Array, fixed: Any) -> tuple[Any, Any]:
        params, moments = carry
        generator, photos = fixed
        grad = jax.grad(loss, has_aux=True)
        batch_key = jax.random.fold_in(key, place)
        gradient, losses = grad(params, encoder, generator, photos, batch_key)
        updates, moments = optimizer.update(gradient, moments, params)
        return (optax.apply_updates(params, updates), moments), losses

    @jax.jit
    def advance(carry: Any, places: Array, fixed: Any) -> tuple[Any, Any]:
        carry, losses = jax.lax.scan(lambda c, p: step(c, p, fixed), carry, places)
        return carry, jax.tree.map(jnp.mean, losses)

    done, carry = state or (0, (encoder.params, optimizer.init(encoder.params)))
    fixed = (generator, None if photos is None else jnp.asarray(photos))
    while done < config.steps:
        places = jnp.arange(done, min(done + chunk, config.steps))
        carry, losses = advance(carry, places, fixed)
        done += len(places)
        yield EncoderProgress(
            done,
            {name: float(value) for name, value in losses.items()},
            dataclasses.replace(encoder, params=carry[0]),
            (done, carry),
        )


def _make_loss(config: EncoderConfig, distance: Distance | None) -> Callable[..., Any]:
    def compare(drawn: Array, target: Array) -> dict[str, Array]:
        found = {"pixel": jnp.square(drawn - target).mean()}
        if distance is not None and config.perceptual:
            found["perceptual"] = distance(drawn, target)
        return found

    def loss(
        params: Any, encoder: Encoder, generator: Generator, photos: Any, key: Array
    ) -> tuple[Array, dict[str, Array]]:
        encoder = dataclasses.replace(encoder, params=params)
        sample_key, photo_key = jax.random.split(key)
        ws, noise = _draw(generator, config, sample_key)
        target = generator.synthesize(ws, noise)
        w, delta = encoder.parts(target)
        mean, std = encoder.mean[None, None], encoder.std[None, None]
        losses = compare(generator.synthesize(mean + std * (w + delta), noise), target)
        losses["latent"] = jnp.square(w + delta - (ws - mean) / std).mean()
        losses["delta"] = jnp.square(delta).mean()
        if photos is not None:
            shape = (config.batch_size,)
            chosen = photos[jax.random.randint(photo_key, shape, 0, len(photos))]
            target = chosen.astype(jnp.float32) / 127.5 - 1
            w, delta = encoder.parts(target)
            noise = stored_noise(generator, config.batch_size)
            drawn = generator.synthesize(mean + std * (w + delta), noise)
            for name, value in compare(drawn, target).items():
                losses[f"photo_{name}"] = value
            losses["photo_delta"] = jnp.square(delta).mean()
        total = sum(
            getattr(config, name.removeprefix("photo_")) * value
            for name, value in losses.items()
        )
        return jnp.asarray(total), losses

    return loss


def _draw(generator: Generator, config: EncoderConfig, key: Array) -> tuple[Array, Any]:
    """Latents of w+, some with the styles of two, and noise of samples."""
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
    noise = generator.draw_noise(noise_key, count)
    return ws, noise


def psnr_of(encoder: Encoder, generator: Generator, targets: np.ndarray) -> np.ndarray:
    """PSNR in dB of uint8 images drawn again from their estimates, `[N]`."""
    ws = encoder.estimate(jnp.asarray(images.from_uint8(targets)))
    drawn = jax.jit(generator.synthesize)(ws)
    return report(targets, images.to_uint8(np.asarray(drawn)))["psnr"]
