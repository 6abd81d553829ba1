"""Re-scoring: change of each attribute along each direction.

Samples are classified before and after a move, with the same noise. The *change* is the
mean difference of the classifier's logit, in standard deviations of that logit over the
unmoved samples.

Source: the re-scoring analysis of InterFaceGAN, section 4.3; the unit is ours.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.classifiers.classifier import Classifier
from stylegan_jax.editing.directions import Direction
from stylegan_jax.editing.mixing import code_of_z
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.code import Code, draw_pictures
from stylegan_jax.io import grids
from stylegan_jax.metrics import draws, streaming
from stylegan_jax.metrics.draws import LabelDistribution
from stylegan_jax.networks.generator import Generator

_MAX_CONDITION = 100.0  # of the matrix of changes; beyond it is all noise
_MIN_CELL = 64  # pixels of a picture, for its captions' sake


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rescoring:
    """Changes of A attributes along K directions."""

    directions: tuple[str, ...]
    attributes: tuple[str, ...]
    changes: np.ndarray  # float64 [K, A], in standard deviations of the logits
    errors: np.ndarray  # standard errors of the changes, [K, A]
    amounts: np.ndarray  # length of each move in latent space, [K]
    stds: np.ndarray  # standard deviations of the unmoved logits, [A]
    count: int

    def own(self, row: int) -> int | None:
        """The column of the attribute a direction is named after, if any."""
        # Conditions and files may follow: `age_c_gender`, `age (FILE)`.
        name = self.directions[row].split("_c_")[0].split(" ")[0]
        return self.attributes.index(name) if name in self.attributes else None

    def selectivity(self, row: int) -> float:
        """Change of a direction's own attribute over the largest of any other.

        A direction without one counts its largest change as its own. Negative if the
        own attribute goes down; infinite if it is alone.
        """
        own = self.own(row)
        sizes = np.abs(self.changes[row])
        column = int(np.argmax(sizes)) if own is None else own
        change = sizes[column] if own is None else self.changes[row, column]
        largest = np.delete(sizes, column).max(initial=0.0)
        return float(change / largest) if largest else np.inf

    def to_markdown(self) -> str:
        """A table with a row per direction; its own attribute in bold."""
        head = ["direction", *self.attributes, "own / largest other"]
        rows = [head, ["---"] * len(head)]
        for row, name in enumerate(self.directions):
            own = self.own(row)
            cells = [
                f"**{change:+.2f}**" if column == own else f"{change:+.2f}"
                for column, change in enumerate(self.changes[row])
            ]
            ratio = "" if own is None else f"{self.selectivity(row):.1f}"
            rows.append([f"{name} by {self.amounts[row]:+.2f}", *cells, ratio])
        return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)

    def to_json(self) -> dict[str, Any]:
        """The table as plain data."""

        def named(values: np.ndarray) -> dict[str, float]:
            return dict(zip(self.attributes, values.tolist(), strict=True))

        def ratio(row: int) -> float | None:
            found = self.selectivity(row)
            known = self.own(row) is not None and np.isfinite(found)  # JSON has no inf
            return found if known else None

        return {
            "count": self.count,
            "unit": "standard deviations of each classifier's logit over the samples",
            "logit_stds": named(self.stds),
            "directions": [
                {
                    "name": name,
                    "amount": float(self.amounts[row]),
                    "changes": named(self.changes[row]),
                    "standard_errors": named(self.errors[row]),
                    "own_over_largest_other": ratio(row),
                }
                for row, name in enumerate(self.directions)
            ],
        }


def rescore(
    generator: Generator,
    classifiers: Mapping[str, Classifier],
    directions: Sequence[Direction],
    amounts: Sequence[float],
    *,
    count: int = 1000,
    labels: LabelDistribution | None = None,
    seed: int = 1,
    **options: Any,
) -> Rescoring:
    """Measures the change of each attribute along each direction, untruncated.

    `amounts` are the relative lengths of the moves. `seed` is of latents, noise and
    labels; it should differ from that of the samples which the directions were found
    from. `options` are those of `streaming.stream`.
    """
    steps_z, steps_w = moves(generator, directions, amounts)

    def compute(given: Any, indices: Array) -> Array:
        generator, labels, steps_z, steps_w = given
        z, y, noise = draws.draw_inputs(generator, labels, seed, indices)

        def logits_after(steps: tuple[Array, Array]) -> Array:
            ws = generator.map(z + steps[0][None], y)
            images = generator.synthesize(ws + steps[1][None], noise)
            return jnp.stack([c.logit(images) for c in classifiers.values()], axis=1)

        # One direction at a time: the images of all would not fit at 1024 px.
        return jnp.moveaxis(jax.lax.map(logits_after, (steps_z, steps_w)), 0, 1)

    (logits,) = streaming.stream(
        compute,
        (generator, labels, steps_z, steps_w),
        count,
        title="samples for re-scoring",
        **options,
    )
    return summarize(
        logits,
        directions=tuple(direction.name for direction in directions),
        attributes=tuple(classifiers),
        amounts=np.array(amounts, np.float64),
    )


def summarize(
    logits: np.ndarray,
    *,
    directions: tuple[str, ...],
    attributes: tuple[str, ...],
    amounts: np.ndarray,
) -> Rescoring:
    """The table of `[N, 1 + K, A]` logits, before and along each direction."""
    logits = logits.astype(np.float64)
    count = len(logits)
    if count < 2:
        raise UserError(f"{count} samples have no spread; measure more")
    stds = logits[:, 0].std(axis=0, ddof=1)
    for name, std in zip(attributes, stds, strict=True):
        if not std > 0:
            raise UserError(f"the classifier of {name!r} says the same of all samples")
    differences = (logits[:, 1:] - logits[:, :1]) / stds
    return Rescoring(
        directions=directions,
        attributes=attributes,
        changes=differences.mean(axis=0),
        errors=differences.std(axis=0, ddof=1) / np.sqrt(count),
        amounts=amounts,
        stds=stds,
        count=count,
    )


def correct(
    directions: Sequence[Direction], table: Rescoring, num_layers: int
) -> list[Direction]:
    """Mixtures of directions that change their own attribute alone, to first order.

    The rows of the inverse of the changes per length. `directions` are named after
    different attributes, in one space, in the order of `table`; if they act on
    different layers of the network's `num_layers`, results have a row for each layer.
    UserError if changes cannot be told apart.
    """
    own = [table.own(row) for row in range(len(directions))]
    names = tuple(direction.name for direction in directions)
    columns = [column for column in own if column is not None]
    spaces = {direction.space for direction in directions}
    if names != table.directions or len(set(columns)) < len(own) or len(spaces) > 1:
        raise UserError(
            f"directions {', '.join(names)} cannot be corrected: each must be of "
            "another attribute of the table, all in one space"
        )
    responses = table.changes[:, columns] / table.amounts[:, None]
    if np.linalg.cond(responses) > _MAX_CONDITION:
        raise UserError(
            "the changes of these attributes cannot be told apart; leave one out"
        )
    mixtures = np.linalg.inv(responses)
    intercepts = np.array([direction.intercept for direction in directions])
    layers = directions[0].layers
    if len({(d.vector.shape, d.layers) for d in directions}) == 1:
        vectors = np.stack([direction.vector for direction in directions])
    else:
        vectors = np.stack([direction.rows(num_layers) for direction in directions])
        # Of a sum over all layers; a distance is a mean over those that act.
        intercepts = intercepts * vectors.any(axis=2).mean(axis=1)
        layers = None
    return [
        dataclasses.replace(
            direction,
            vector=np.tensordot(mixtures[i], vectors, axes=1),
            intercept=float(mixtures[i] @ intercepts),
            layers=layers,
            std=None,
            provenance=f"{direction.provenance}; corrected by {table.count} samples",
        )
        for i, direction in enumerate(directions)
    ]


def moves(
    generator: Generator, directions: Sequence[Direction], amounts: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Steps in z and ws, float32 `[1 + K, z_dim]` and `[1 + K, L, w_dim]`, first 0."""
    config = generator.config
    steps_z = np.zeros((1 + len(directions), config.z_dim), np.float32)
    steps_w = np.zeros((1 + len(directions), config.num_ws, config.w_dim), np.float32)
    for i, (direction, amount) in enumerate(zip(directions, amounts, strict=True), 1):
        size = config.z_dim if direction.space == "z" else config.w_dim
        direction.require_dim(size)
        if direction.space == "z":
            steps_z[i] = amount * direction.vector
        else:
            steps_w[i] = amount * direction.rows(config.num_ws)
    return steps_z, steps_w


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
    """A captioned grid of people moved along directions, uint8 `[H, W, 3]`.

    A row for each of the people `z` `[P, z_dim]` and directions, a column per step, in
    units of the direction's `std` (1 if unknown). `labels` are one-hot
    `[1, label_size]`; truncation comes before a direction in w is added.
    """
    given = None if labels is None else labels.repeat(len(steps), 0)
    pictures, names = [], []
    for direction in directions:
        amounts = [step * (direction.std or 1.0) for step in steps]
        in_z, in_w = moves(generator, [direction] * len(steps), amounts)
        for person in np.asarray(z, np.float32):
            people = person + in_z[1:]
            code = code_of_z(generator, people, psi, cutoff=cutoff, labels=given)
            code = Code(code.ws + in_w[1:], code.noise)
            pictures += list(draw_pictures(generator, code))
        names += [direction.name, *[""] * (len(z) - 1)]
    return grids.labelled(
        pictures,
        len(steps),
        row_labels=names,
        column_labels=[f"{step:+g}" if step else "0" for step in steps],
        at_least=_MIN_CELL,
    )
