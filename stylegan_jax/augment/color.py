"""Colour transformations, image filters and corruptions.

Source: Karras et al. 2020, "Training Generative Adversarial Networks with Limited
Data", appendix B.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from stylegan_jax.augment.values import Values

# Low-pass filter of the sym2 wavelet.
_SYM2 = np.array(
    [
        *(-0.12940952255092145, 0.22414386804185735),
        *(0.836516303737469, 0.48296291314469025),
    ]
)
_BANDS = 4
# Power of a natural image in each band, lowest first; its spectrum falls as 1 / f.
_POWER = np.array([10, 1, 1, 1]) / 13
_EYE = np.eye(3)[None]
_LUMA = np.full((1, 3, 3), 1 / 3)  # projection onto the axis (1, 1, 1)


def color_matrices(values: Values) -> Array:
    """Affine maps of RGB, `[N, 3, 4]`."""
    count = len(next(iter(values.values())))
    matrix = jnp.tile(jnp.eye(3), (count, 1, 1))
    shift = jnp.zeros((count, 3))
    multiply = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)

    def follow(step: Array | np.ndarray) -> tuple[Array, Array]:
        return multiply(step, matrix), multiply(step, shift[..., None])[..., 0]

    def column(name: str) -> Array:
        return values[name][:, None, None]

    if "brightness" in values:
        shift = shift + values["brightness"][:, None]
    if "contrast" in values:
        matrix, shift = column("contrast") * matrix, column("contrast")[..., 0] * shift
    if "lumaflip" in values:
        matrix, shift = follow(_EYE - 2 * _LUMA * column("lumaflip"))
    if "hue" in values:
        # Rodrigues' formula; the axis' cross product is `turn`.
        turn = np.array([[[0, -1, 1], [1, 0, -1], [-1, 1, 0]]]) / np.sqrt(3)
        cos, sin = jnp.cos(column("hue")), jnp.sin(column("hue"))
        matrix, shift = follow(_EYE * cos + _LUMA * (1 - cos) + turn * sin)
    if "saturation" in values:
        gray = _EYE + (_LUMA - _EYE) * (1 - column("saturation"))
        matrix, shift = follow(gray)
    return jnp.concatenate([matrix, shift[..., None]], axis=-1)


def recolor(images: Array, transforms: Array) -> Array:
    """Applies `color_matrices`; grey takes the mean over the rows, alpha stays."""
    channels = images.shape[3]
    colors = 3 if channels >= 3 else 1
    rest = images[..., colors:]
    still = jnp.all(transforms == np.eye(3, 4)[None], axis=(1, 2))[:, None, None, None]
    if colors == 1:
        mean = transforms.mean(axis=1)
        gain, shift = mean[:, :3].sum(axis=1), mean[:, 3]
        changed = images[..., :1] * gain[:, None, None, None]
        changed = changed + shift[:, None, None, None]
    else:
        rows = transforms[:, None, None]  # [N, 1, 1, 3, 4]
        changed = rows[..., 3] + sum(
            rows[..., i] * images[..., i : i + 1] for i in range(3)
        )
    changed = jnp.where(still, images[..., :colors], changed)
    return jnp.concatenate([changed, rest], axis=-1) if rest.shape[-1] else changed


def amplify(images: Array, gains: Array) -> Array:
    """Amplifies octave bands by gains `[N, 4]`, lowest first.

    Each gain in turn is normalised to keep the power of a natural image.
    """
    total = jnp.ones_like(gains)
    for band in range(_BANDS):
        gain = jnp.ones_like(gains).at[:, band].set(gains[:, band])
        power = jnp.sum(_POWER[None] * jnp.square(gain), axis=1, keepdims=True)
        total = total * gain / jnp.sqrt(power)
    size = images.shape[1]
    filters = jnp.einsum(
        "nb,bij->nij", total, band_matrices(size), precision=lax.Precision.HIGHEST
    )
    still = jnp.all(gains == 1, axis=1)[:, None, None, None]
    return jnp.where(still, images, along_both(images, filters, filters))


def along_both(images: Array, rows: Array, columns: Array) -> Array:
    """Multiplies both image axes by per-image matrices, `[N, H, H]` each."""
    exact = lax.Precision.HIGHEST
    x = jnp.einsum("nij,njwc->niwc", rows, images, precision=exact)
    return jnp.einsum("nij,nhjc->nhic", columns, x, precision=exact)


def band_filters() -> np.ndarray:
    """Filter of each octave band, `[4, taps]`, lowest first; they sum to 1."""
    signs = (-1.0) ** np.arange(len(_SYM2))
    low = np.convolve(_SYM2, _SYM2[::-1]) / 2
    high = np.convolve(_SYM2 * signs, (_SYM2 * signs)[::-1]) / 2
    bank = np.ones((1, 1))
    for band in range(1, _BANDS):
        spread = np.zeros((band, 2 * bank.shape[1] - 1))
        spread[:, ::2] = bank
        bank = np.stack([np.convolve(row, low) for row in [*spread]])
        margin = (bank.shape[1] - len(high)) // 2
        bank = np.concatenate([bank, np.pad(high, margin)[None]])
    return bank


@functools.cache
def band_matrices(size: int) -> np.ndarray:
    """`band_filters` as matrices with reflected borders, `[4, size, size]`."""
    bank = band_filters()
    radius = bank.shape[1] // 2
    source = np.pad(np.arange(size), radius, mode="reflect")
    result = np.zeros((_BANDS, size, size), np.float32)
    for row in range(size):
        for tap in range(bank.shape[1]):
            result[:, row, source[row + tap]] += bank[:, tap]
    return result


def cut_out(images: Array, side: Array, center: Array) -> Array:
    """Sets squares of images to 0; `side` and `center` (x, y) are in image sizes."""
    size = images.shape[1]
    at = (jnp.arange(size) + 0.5) / size
    beyond = (
        jnp.abs(at[None, None] - center[..., None]) >= side[:, None, None] / 2
    )  # [N, 2, H]
    kept = beyond[:, 0, None, :] | beyond[:, 1, :, None]
    return jnp.where(kept[..., None], images, 0.0)
