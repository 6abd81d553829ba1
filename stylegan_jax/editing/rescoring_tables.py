"""Tables of what directions change, and pictures of it."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.editing.directions import Direction
from stylegan_jax.editing.rescoring import Rescoring, moves
from stylegan_jax.io import grids, images
from stylegan_jax.networks.generator import Generator
from stylegan_jax.ops.latents import truncate

_MIN_CELL = 64  # pixels of a picture, for its captions' sake


def to_markdown(table: Rescoring) -> str:
    """The table as Markdown, a direction per line; its own attribute is in bold."""
    head = ["direction", *table.attributes, "own / largest other"]
    lines = [_row(head), _row(["---"] * len(head))]
    for row, name in enumerate(table.directions):
        own = table.own(row)
        cells = [
            f"**{change:+.2f}**" if column == own else f"{change:+.2f}"
            for column, change in enumerate(table.changes[row])
        ]
        ratio = "" if own is None else f"{table.selectivity(row):.1f}"
        lines.append(_row([f"{name} by {table.amounts[row]:+.2f}", *cells, ratio]))
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def to_json(table: Rescoring) -> dict[str, Any]:
    """The table as plain data, for `json.dumps`."""
    return {
        "count": table.count,
        "unit": "standard deviations of each classifier's logit over the samples",
        "logit_stds": dict(zip(table.attributes, table.stds.tolist(), strict=True)),
        "directions": [
            {
                "name": name,
                "amount": float(table.amounts[row]),
                "changes": _named(table, table.changes[row]),
                "standard_errors": _named(table, table.errors[row]),
                # Infinity has no JSON.
                "own_over_largest_other": _finite(table.selectivity(row))
                if table.own(row) is not None
                else None,
            }
            for row, name in enumerate(table.directions)
        ],
    }


def _named(table: Rescoring, values: np.ndarray) -> dict[str, float]:
    return dict(zip(table.attributes, values.tolist(), strict=True))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def draw_rows(
    generator: Generator,
    directions: Sequence[Direction],
    steps: Sequence[float],
    z: np.ndarray,
    *,
    labels: np.ndarray | None = None,
    psi: float = 0.7,
    cutoff: int | None = 8,
) -> np.ndarray:
    """Draws people along directions: a row per direction and person.

    Args:
        generator: what draws, with its stored noise.
        directions: one group of rows each, named at the left.
        steps: a column each: where to, relative to the person, in units of the
            direction's `std` (of 1 where it is not known).
        z: `[P, z_dim]`, of the people.
        labels: one-hot `[1, label_size]` of all of them, for a conditional network.
        psi: truncation, before a direction in w is added.
        cutoff: layers from this one on are not truncated; None truncates all.

    Returns:
        uint8 `[H, W, C]`, with captions.

    Raises:
        UserError: a direction does not fit the network.
    """

    @jax.jit
    def draw(generator: Generator, z: Array, steps: tuple[Array, Array]) -> Array:
        count = len(steps[0])
        given = None if labels is None else jnp.repeat(jnp.asarray(labels), count, 0)
        ws = generator.map(z[None] + steps[0], given)
        if generator.w_avg is not None:
            ws = truncate(ws, generator.w_avg, psi, cutoff)
        return generator.synthesize(ws + steps[1])

    pictures = []
    for direction in directions:
        amounts = [step * (direction.std or 1.0) for step in steps]
        offsets = moves(generator, [direction] * len(steps), amounts)
        moved = tuple(part[1:] for part in offsets)
        for person in np.asarray(z, np.float32):
            pictures.append(images.to_uint8(np.asarray(draw(generator, person, moved))))
    drawn = np.concatenate(pictures)
    factor = -(-_MIN_CELL // drawn.shape[1])
    names = [
        direction.name if i == 0 else ""
        for direction in directions
        for i in range(len(z))
    ]
    return grids.grid(
        drawn.repeat(factor, axis=1).repeat(factor, axis=2),
        len(steps),
        padding=2,
        row_labels=names,
        column_labels=[f"{step:+g}" if step else "0" for step in steps],
    )
