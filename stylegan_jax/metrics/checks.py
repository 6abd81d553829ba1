"""Checks of features: finite, and comparable."""

from collections.abc import Callable

import numpy as np

from stylegan_jax.errors import UserError


def require_finite(
    values: np.ndarray,
    what: str = "features",
    *,
    name: Callable[[int], str] = "image {}".format,
) -> None:
    """Raises UserError unless `[N, ...]` is finite; `name` names a row."""
    finite = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise UserError(
            f"{what} of {name(int(bad[0]))} are not finite ({len(bad)} of "
            f"{len(values)} in all); no score can be taken: look at this image, and at "
            "the network that gave the numbers"
        )


def require_comparable(real: np.ndarray, fake: np.ndarray) -> None:
    """Raises UserError unless these are finite features `[N, D]` and `[M, D]`."""
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise UserError(
            f"features of shapes {list(real.shape)} and {list(fake.shape)} cannot be "
            "compared; use one extractor for both sets"
        )
    require_finite(real, name="real image {}".format)
    require_finite(fake, name="fake image {}".format)
