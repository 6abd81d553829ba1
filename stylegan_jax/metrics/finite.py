"""What all measures refuse: features that are no numbers."""

from collections.abc import Callable

import numpy as np

from stylegan_jax.errors import UserError


def require_finite(
    values: np.ndarray,
    what: str = "features",
    *,
    name: Callable[[int], str] = "image {}".format,
) -> None:
    """Checks numbers `[N, ...]`, a row per image.

    Args:
        values: to be checked.
        what: they are, for the message.
        name: of an image, by its row.

    Raises:
        UserError: some are infinite or not a number; names the first image.
    """
    finite = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise UserError(
            f"{what} of {name(int(bad[0]))} are not finite ({len(bad)} of "
            f"{len(values)} in all); no score can be taken: look at this image, and at "
            "the network that gave the numbers"
        )
