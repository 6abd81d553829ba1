"""Perceptual path length (PPL).

Source: Karras et al. 2018, section 4.1, and `metrics/perceptual_path_length.py`,
NVlabs/stylegan.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import draws, streaming
from stylegan_jax.metrics.checks import require_finite
from stylegan_jax.metrics.draws import LabelDistribution, draw_labels
from stylegan_jax.networks.generator import Generator
from stylegan_jax.ops import latents, resample

Networks = tuple[Generator, LabelDistribution | None]
# Images [N, H, W, C] in [-1, 1], twice, to [N].
Distance = Callable[[Array, Array], Array]

EPSILON = 1e-4  # step, as a part of the path
_COMPARED_AT = 256  # pixels; larger images are reduced first


class PathLength(NamedTuple):
    """Trimmed mean of `distances`, float64 `[N]`, which are over the squared step."""

    score: float
    distances: np.ndarray


def path_length(
    generator: Generator,
    distance: Distance,
    *,
    space: str = "w",
    sampling: str = "full",
    crop: bool = True,
    count: int = 100_000,
    seed: int = 0,
    labels: LabelDistribution | None = None,
    **options: Any,
) -> PathLength:
    """Perceptual path length of a generator, untruncated, in float32.

    `distance` maps two float32 `[N, H, W, C]`, nominally in [-1, 1], to `[N]`; it is
    traced. Paths are great circles in z, or straight lines in w; steps begin anywhere
    on them ("full") or at their start ("end"). `crop` compares the face region only
    (`crop_face`). `options` are those of `streaming.stream`. UserError if distances are
    not finite.

    Differs from NVlabs/stylegan: noise is new for each path, not for each minibatch, so
    the score does not depend on the batch; conditional networks get the data's labels.
    """
    if space not in ("z", "w") or sampling not in ("full", "end"):
        raise UserError(
            f"`space` {space!r} and `sampling` {sampling!r}: z or w, and full or end"
        )
    generator = generator.in_float32()

    def compute(given: Networks, indices: Array) -> Array:
        generator, labels = given
        keys = draws.sample_keys(seed, indices, 5)
        z0, z1 = (draws.draw_normal(key, generator.config.z_dim) for key in keys[:2])
        t = jax.vmap(jax.random.uniform)(keys[2])
        if sampling == "end":
            t = jnp.zeros_like(t)
        y = draw_labels(generator, labels, keys[3])
        noise = draws.draw_noise(generator, keys[4])
        # Both images of a path share label and noise.
        y, noise = jax.tree.map(lambda x: jnp.concatenate([x, x]), (y, noise))
        return path_distances(
            lambda z: generator.map(z, y),
            lambda ws: generator.synthesize(ws, noise),
            distance,
            (z0, z1, t),
            space=space,
            crop=crop,
        )

    (distances,) = streaming.stream(
        compute,
        (generator, labels),
        count,
        title=f"path length, {space} {sampling}",
        **options,
    )
    distances = distances.astype(np.float64)
    return PathLength(trimmed_mean(distances), distances)


def path_distances(
    map_fn: Callable[[Array], Array],
    synthesize_fn: Callable[[Array], Array],
    distance: Distance,
    paths: tuple[Array, Array, Array],
    *,
    space: str,
    crop: bool,
) -> Array:
    """Distances between images a step apart, over the squared step: `[N]`.

    Both images of a path are in one batch, so that they are rounded alike. `map_fn`
    maps `[2N, z_dim]` to `[2N, L, w_dim]`, the second half on the same paths as the
    first, and `synthesize_fn` these to images. `paths` are both ends in z,
    `[N, z_dim]`, and the step's position, `[N]` in [0, 1].
    """
    z0, z1, t = paths
    # The step is lost in TF32 or bfloat16, accelerators' defaults.
    with jax.default_matmul_precision("highest"):
        if space == "z":
            begins, ends = (latents.slerp(z0, z1, s[:, None]) for s in (t, t + EPSILON))
            ws = map_fn(jnp.concatenate([begins, ends]))
        else:
            ws0, ws1 = jnp.split(map_fn(jnp.concatenate([z0, z1])), 2)
            steps = (s[:, None, None] for s in (t, t + EPSILON))
            ws = jnp.concatenate([latents.lerp(ws0, ws1, s) for s in steps])
        images = synthesize_fn(ws)
        if crop:
            images = crop_face(images)
        factor = images.shape[1] // _COMPARED_AT
        if factor > 1:
            images = resample.downsample(images, factor)
        distances = distance(*jnp.split(images, 2))
    if distances.shape != t.shape:
        raise UserError(
            f"distance gave shape {distances.shape} for {len(t)} pairs; it must give "
            f"one number for each, {t.shape}"
        )
    return distances / EPSILON**2


def crop_face(images: Array) -> Array:
    """Rows 3/8 to 7/8 and columns 2/8 to 6/8 of `[N, H, W, C]`, at least 8 px."""
    c = images.shape[1] // 8
    if not c:
        raise UserError(
            f"images of {images.shape[1]} px are too small to crop; pass crop=False"
        )
    return images[:, 3 * c : 7 * c, 2 * c : 6 * c]


def trimmed_mean(distances: np.ndarray) -> float:
    """Mean of the values from the 1st to the 99th percentile, both included.

    The percentiles are values of the set, the next lower and the next higher one.
    """
    require_finite(distances, "distances", name="path {}".format)
    low = np.percentile(distances, 1, method="lower")
    high = np.percentile(distances, 99, method="higher")
    kept = distances[(low <= distances) & (distances <= high)]
    return float(np.mean(kept))
