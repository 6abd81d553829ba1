"""Directions from the weights alone: closed-form factorisation (SeFa).

Eigenvectors of `A A^T` with the largest eigenvalues, where styles are `w A + b` and A
has the style weights of some layers side by side, each column divided by its length.

Source: Shen and Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs",
section 3; genforce/sefa, `factorize_weight` in `utils.py`. Differs: a symmetric solver,
so that eigenvalues are real and ordered; signs are settled.
"""

from collections.abc import Sequence

import numpy as np

from stylegan_jax.editing.directions import Direction
from stylegan_jax.errors import UserError
from stylegan_jax.networks.generator import Generator


def factorize(weights: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """`principal_axes` of normalised matrices `[D, C]`, applied as `w @ weight`."""
    if len({weight.shape[0] for weight in weights}) != 1:
        raise UserError(
            f"weights of shapes {[weight.shape for weight in weights]} cannot be "
            "factorised together"
        )
    joined = np.concatenate([np.asarray(w, np.float64) for w in weights], axis=1)
    if not joined.size or not np.isfinite(joined).all():
        raise UserError(
            "weights are empty or not finite; there is nothing to factorise"
        )
    lengths = np.linalg.norm(joined, axis=0, keepdims=True)
    joined = joined / np.where(lengths > 0, lengths, 1)  # a dead channel stays zero
    return principal_axes(joined @ joined.T)


def principal_axes(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit eigenvectors `[D, D]` (rows) and eigenvalues `[D]` of a symmetric matrix.

    By falling eigenvalue; the entry largest in magnitude is positive.
    """
    values, columns = np.linalg.eigh(matrix)
    vectors = columns.T[::-1]
    largest = np.argmax(np.abs(vectors), axis=1)
    signs = np.sign(vectors[np.arange(len(vectors)), largest])
    return vectors * np.where(signs == 0, 1, signs)[:, None], values[::-1].copy()


def style_weights(
    generator: Generator, layers: Sequence[int] | None = None
) -> list[np.ndarray]:
    """Style weights `[w_dim, 2 C]` of the layers, all by default.

    Layers above the active resolution count too. A network without styles has the
    weights `[w_dim, 16 C]` of its first layer.
    """
    config, params = generator.config, generator.params["synthesis"]
    if config.mlp_layers:
        raise UserError("a multi-layer perceptron has no styles to factorise")
    chosen = range(config.num_ws) if layers is None else layers
    if not len(chosen) or not all(0 <= layer < config.num_ws for layer in chosen):
        raise UserError(
            f"layers {list(chosen)} are not some of 0 to {config.num_ws - 1}"
        )
    if not config.use_styles:
        return [np.asarray(params["block4"]["dense"]["weight"])]
    found = []
    for layer in chosen:
        block = params[f"block{2 ** (layer // 2 + 2)}"]
        first = ("const" if "const" in block else "dense", "conv")
        name = (first if layer < 2 else ("conv0", "conv1"))[layer % 2]
        found.append(np.asarray(block[name]["style"]["weight"]))
    return found


def sefa_directions(
    generator: Generator, number: int = 10, layers: Sequence[int] | None = None
) -> list[Direction]:
    """The first directions of the factorisation, called sefa1, sefa2, ...

    `layers` are those whose styles are factorised and where the directions act; all by
    default. The paper's groups at 1024 px are 0-1, 2-5 and 6-13.
    """
    if not 1 <= number <= generator.config.w_dim:
        raise UserError(
            f"{number} directions; w has {generator.config.w_dim}, and 1 is the least"
        )
    vectors, values = factorize(style_weights(generator, layers))
    where = "all layers" if layers is None else f"layers {list(layers)}"
    return [
        Direction(
            name=f"sefa{i + 1}",
            vector=vectors[i],
            layers=None if layers is None else tuple(layers),
            provenance=f"SeFa of {where}, {values[i] / values.sum():.2%} of the trace",
        )
        for i in range(number)
    ]
