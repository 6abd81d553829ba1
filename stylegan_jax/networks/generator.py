"""Generator value: parameters, statistics and architecture as a pytree."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.io.summary import short_repr
from stylegan_jax.networks.config import ModelConfig, num_layers
from stylegan_jax.networks.layers import STEPS
from stylegan_jax.networks.mapping import MappingNetwork
from stylegan_jax.networks.pair import synthesis_network
from stylegan_jax.ops import latents

Noise = tuple[Array, ...]


@struct.dataclass
class Generator:
    """A trained (or growing) generator, a frozen pytree with pure methods.

    Attributes:
        params: `{"mapping": ..., "synthesis": ...}`.
        w_avg: mean of w, `[w_dim]`; None for networks without a mapping (ProGAN).
        noise: the stored noise, `[1, R, R, 1]` per layer.
        alpha: weight of the last resolution while it fades in; None when stable.
        resolution: of the images; below `config.resolution` in mid-growth.
    """

    params: dict
    w_avg: Array | None
    noise: Noise
    alpha: Array | None = None
    config: ModelConfig = struct.field(pytree_node=False, default=ModelConfig())
    resolution: int = struct.field(pytree_node=False, default=1024)

    __repr__ = short_repr

    @property
    def truncation_mean(self) -> Array | None:
        """Centre of truncation, `[w_dim]`; None for networks without styles."""
        return self.w_avg if self.config.use_styles else None

    def map(self, z: Array, labels: Array | None = None) -> Array:
        """Maps `z` `[N, z_dim]`, unit normal, to `[N, L, w_dim]`, all layers equal.

        `labels` are `[N, label_size]` one-hot; None if unconditional. L is 1 without
        styles. Raises UserError for wrong shapes, and labels missing or not wanted.
        """
        config = self.config
        if z.ndim != 2 or z.shape[1] != config.z_dim:
            raise UserError(f"z has shape {z.shape}, not [N, {config.z_dim}]")
        expected = (z.shape[0], config.label_size)
        if config.label_size and labels is None:
            raise UserError(
                f"this network is conditional: pass labels of shape {expected}, one-hot"
            )
        if labels is not None and labels.shape != expected:
            raise UserError(f"labels have shape {labels.shape}, not {expected}")
        mapping = MappingNetwork(config)
        labels = labels if config.label_size else None
        w = mapping.apply({"params": self.params["mapping"]}, z, labels)
        assert isinstance(w, Array)
        return jnp.broadcast_to(w[:, None], (w.shape[0], config.num_ws, w.shape[1]))

    def synthesize(self, ws: Array, noise: Noise | None = None) -> Array:
        """Draws float32 images `[N, H, W, C]`, nominally in [-1, 1].

        `ws` is `[N, L, w_dim]`, `noise` `[N or 1, R, R, 1]` per layer; None takes the
        stored noise. Raises UserError for other shapes.
        """
        return self._run(ws, noise)

    def features(self, ws: Array, noise: Noise | None = None, *, layers: int) -> Array:
        """Features `[N, R, R, C]` after the first `layers` layers.

        In the network's dtype. The last one's style is included; rows of `ws` from
        `layers` on have no influence. Layers 2k - 1 and 2k work at `2 ** (k + 1)`
        pixels. Raises UserError for no such number of layers, or a network without
        layers (MLP).
        """
        return self._run(ws, noise, stop=layers)

    def finish(
        self, features: Array, ws: Array, noise: Noise | None = None, *, layers: int
    ) -> Array:
        """Draws images from the result of `features`: the two are `synthesize`.

        Rows of `ws` below `layers`, the number run so far, have no influence. A
        resolution that fades in must have its own two layers still to run. Raises
        UserError as `features`, and for features of another shape.
        """
        size = 2 ** ((layers - 1) // 2 + 2)
        expected = (ws.shape[0], size, size, self.config.channels(size))
        if features.shape != expected:
            raise UserError(
                f"features after {layers} layers are {expected}, not {features.shape}"
            )
        return self._run(ws, noise, start=(layers, features))

    def layer_steps(
        self, ws: Array, noise: Noise | None = None, *, layer: int
    ) -> dict[str, Array]:
        """Features `[N, R, R, C]` after each step of a layer, 0 to L - 1.

        Keys are those of `layers.STEPS` that the network has: `weights` (the
        convolution), `scaled_noise` (`[N or 1, R, R, C]`), `noisy` (their sum),
        `activated` (after bias and leaky ReLU), `normalised`, `styled`. Raises
        UserError as `features`.
        """
        start = (layer, self.features(ws, noise, layers=layer)) if layer else None
        _, found = self._run(
            ws, noise, mutable="intermediates", start=start, stop=layer + 1
        )
        ((sown,),) = (block.values() for block in found["intermediates"].values())
        return {name: sown[name][0] for name in STEPS if name in sown}

    def _run(
        self, ws: Array, noise: Noise | None, *, mutable: Any = False, **span: Any
    ) -> Any:
        if span and self.config.mlp_layers:
            raise UserError("multi-layer perceptrons have no layers to stop at")
        latents.check_ws(ws, self.config.num_ws, self.config.w_dim)
        if noise is not None:
            self._check_noise(noise, ws.shape[0])
        return synthesis_network(self.config).apply(
            {"params": self.params["synthesis"]},
            ws,
            self.noise if noise is None else noise,
            resolution=self.resolution,
            alpha=self.alpha,
            mutable=mutable,
            **span,
        )

    def _check_noise(self, noise: Noise, count: int) -> None:
        sizes = latents.noise_sizes(
            num_layers(self.resolution) if self.config.use_noise else 0
        )
        found = [jnp.shape(image) for image in noise[: len(sizes)]]
        fits = [
            shape[:1] in ((1,), (count,)) and shape[1:] == (size, size, 1)
            for shape, size in zip(found, sizes, strict=False)
        ]
        if len(found) < len(sizes) or not all(fits):
            raise UserError(
                f"noise of shapes {[list(shape) for shape in found]} is not one image "
                f"per layer, [{count} or 1, R, R, 1] with R of {sizes}; draw_noise "
                "makes it, and None takes the stored noise"
            )

    def sample(
        self,
        z: Array,
        *,
        labels: Array | None = None,
        psi: Array | float = 0.7,
        cutoff: int | None = 8,
        noise: Noise | None = None,
    ) -> Array:
        """Draws images from unit normal `z` `[N, z_dim]`: map, truncate, synthesize.

        `psi` 1 turns truncation off, 0 gives the mean image; layers from `cutoff` on,
        and networks without styles, are not truncated. `labels` are as for `map`,
        `noise` as for `synthesize`. Source: `G_style`, NVlabs/stylegan, with
        `randomize_noise=False`.
        """
        ws = self.map(z, labels)
        if self.truncation_mean is not None:
            ws = latents.truncate(ws, self.truncation_mean, psi, cutoff)
        return self.synthesize(ws, noise)

    def in_float32(self) -> "Generator":
        """The same network with float32 activations."""
        return dataclasses.replace(
            self, config=dataclasses.replace(self.config, dtype="float32")
        )

    def draw_noise(self, key: Array, batch_size: int) -> Noise:
        """Draws noise for `batch_size` images at the active resolution."""
        if not self.config.use_noise:
            return ()
        return latents.draw_noise(key, batch_size, num_layers(self.resolution))


def init_generator(key: Array, config: ModelConfig) -> Generator:
    """A generator with random weights, at its final resolution.

    Source: the initialisers of `G_style`, NVlabs/stylegan.
    """
    mapping_key, synthesis_key, noise_key = jax.random.split(key, 3)
    noise = (
        latents.draw_noise(noise_key, 1, config.num_layers) if config.use_noise else ()
    )
    labels = jnp.zeros((1, config.label_size)) if config.label_size else None
    mapping = MappingNetwork(config).init(
        mapping_key, jnp.zeros((1, config.z_dim)), labels
    )
    synthesis = synthesis_network(config).init(
        synthesis_key,
        jnp.zeros((1, config.num_ws, config.w_dim)),
        noise,
        resolution=config.resolution,
    )
    params = {
        "mapping": mapping.get("params", {}),
        "synthesis": synthesis["params"],
    }
    return Generator(
        params=params,
        w_avg=jnp.zeros((config.w_dim,)),
        noise=noise,
        config=config,
        resolution=config.resolution,
    )
