"""The loss of Image2StyleGAN++: its terms, masks and Gram matrices.

Source: Abdal et al. 2020, equation 1.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np

from stylegan_jax.editing import local, masks
from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import Params
from stylegan_jax.figures.studio import Studio, as_signed
from stylegan_jax.inversion import terms
from stylegan_jax.inversion.terms import Term
from stylegan_jax.io import images


@dataclasses.dataclass(frozen=True)
class Loss:
    """Equation 1 for a picture x inside a mask and a picture y outside.

    Pictures are uint8 `[R, R, C]`, the mask `[1, R, R, 1]`; without y and mask, x
    counts everywhere. `vgg16` are the parameters of `features.vgg16.load`; without them
    there is no term of features, and style is moments of colours.
    """

    x: np.ndarray
    y: np.ndarray | None = None
    mask: np.ndarray | None = None
    vgg16: Params | None = None

    def __post_init__(self) -> None:
        """Raises UserError for pictures of two sizes, or a y without a mask."""
        if self.y is not None and self.mask is None:
            raise UserError("a second picture needs a `mask`: it counts outside")
        if self.y is not None and self.y.shape != self.x.shape:
            raise UserError(f"pictures of {self.x.shape} and {self.y.shape}")

    @property
    def parts(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Picture and mask of each term: M_m, M_p, 1 - M_m and M_s."""
        inside = np.ones((1, *self.x.shape[:2], 1), np.float32)
        inside = inside if self.mask is None else self.mask
        of_x = {name: (self.x, inside) for name in ("pixels of x", "features of x")}
        if self.y is None:
            return of_x
        of_y = (self.y, 1 - inside)
        return of_x | {"pixels of y": of_y, "style of y": of_y}

    @property
    def target(self) -> np.ndarray:
        """x inside the mask, y outside: what pixels are compared with, uint8."""
        if self.y is None or self.mask is None:
            return self.x
        mixed = self.mask[0] * self.x + (1 - self.mask[0]) * self.y
        return np.rint(mixed).astype(np.uint8)

    def terms(self, *, pixels_only: bool = False) -> dict[str, Term]:
        """The terms by name; noise is searched for with pixels only."""
        made: dict[str, Term] = {}
        for name, (picture, mask) in self.parts.items():
            target = jnp.asarray(images.from_uint8(picture[None]))
            if name.startswith("pixels"):
                made[name] = terms.PixelTerm(target, jnp.asarray(mask))
            elif pixels_only or (name.startswith("features") and self.vgg16 is None):
                continue
            elif self.vgg16 is None:
                made[name] = local.colour_term(target, jnp.asarray(mask))
            else:
                features = name.startswith("features")
                make = terms.perceptual_term if features else terms.style_term
                made[name] = make(target, self.vgg16, mask=jnp.asarray(mask))
        return made


def loss_masks(studio: Studio, loss: Loss) -> np.ndarray:
    """The picture of each term, grey where its mask hides it; uint8 `[H, W, 3]`."""
    pictures = [] if loss.y is None else [loss.y]
    shown = [masks.covered(x, 1 - mask) for x, mask in loss.parts.values()]
    names = ["x", "y"][: 1 + len(pictures)]
    return studio.page(
        [[loss.x, *pictures, *shown]],
        column_labels=[*names, *loss.parts],
        column_groups=[("pictures", len(names)), ("masked, term by term", len(shown))],
    )


def gram_matrices(
    studio: Studio, first: np.ndarray, second: np.ndarray, vgg16: Params | None = None
) -> np.ndarray:
    """Gram matrices of two pictures and their difference, uint8 `[H, W, 3]`.

    Of VGG16's conv3_3, `[256, 256]`, divided by the features' size; without `vgg16` of
    the colours red, green, blue and 1, `[4, 4]`, a mean over pixels. Red is positive,
    blue negative; below the difference is its mean square, the style term's distance.
    """
    pair = jnp.asarray(images.from_uint8(np.stack([first, second])))
    if vgg16 is None:
        grams = local.colour_gram(terms.as_rgb(pair), jnp.ones_like(pair[..., :1]))
    else:
        (found,) = terms.vgg_features(vgg16, pair, terms.STYLE_LAYERS)
        grams = terms.gram(found) / np.prod(found.shape[1:])
    a, b = np.asarray(grams, np.float64)
    matrices = {"Gram matrix of x": a, "of y": b, "difference": a - b}
    spans = [np.abs(np.stack([a, b])).max()] * 2 + [np.abs(a - b).max()]
    drawn = [as_signed(x, s) for x, s in zip(matrices.values(), spans, strict=True)]
    distance = np.mean((a - b) ** 2)
    return studio.page(
        [[first, second, *drawn]],
        column_labels=["x", "y", *matrices],
        captions=["", "", *(f"colours end at ±{span:.2g}" for span in spans)],
        column_groups=[("", 2), (f"distance {distance:.2g}", 3)],
    )
