"""Operations of `stylegan_jax.edit` that compute with codes; nothing is searched for.

(Photographs among their inputs are inverted first.)
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.commands.edit_flags import Command, Inputs, MaskFlags, numbers, shown
from stylegan_jax.editing import activations, arithmetic, directions
from stylegan_jax.editing.activations import Combine
from stylegan_jax.editing.direction_files import beside, load_directions
from stylegan_jax.editing.directions import Direction, Distance, Space
from stylegan_jax.editing.inputs import labels_of
from stylegan_jax.editing.layer_names import parse_rows
from stylegan_jax.editing.mixing import mix
from stylegan_jax.editing.workbench import Workbench
from stylegan_jax.errors import UserError, did_you_mean
from stylegan_jax.inversion.code import Code, draw_pictures
from stylegan_jax.metrics.reconstruction import report


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reconstruct(Command):
    """Codes of photographs, and how near the pictures come. `invert` has more."""

    inputs: Inputs

    def run(self, bench: Workbench) -> None:
        """Does it."""
        items = bench.items(self.inputs)
        found = bench.invert(items)
        rows = []
        for item, (plain, full) in zip(items, found, strict=True):
            pictures = [
                draw_pictures(bench.generator, plain)[0],
                bench.write([item.name], full, [item])[0],
            ]
            psnr = report(np.stack([item.picture] * 2), np.stack(pictures))["psnr"]
            print(f"{item.name}: {psnr[0]:.2f} dB, with noise {psnr[1]:.2f} dB")
            rows.append([item.picture, *pictures])
        labels = ["image", "latents", "with noise"]
        bench.write_grid(rows, [item.name for item in items], labels)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mix(Command):
    """Rows of one image's code in another's: a grid of contents and styles."""

    content: tuple[str, ...]  # images that keep the other rows and the noise
    style: tuple[str, ...]  # images that give rows
    # coarse, middle, fine, style (the second half, as in Image2StyleGAN), or numbers
    # such as 0-3,7; several make a grid each.
    rows: tuple[str, ...] = ("coarse", "middle", "fine")

    def run(self, bench: Workbench) -> None:
        """Does it."""
        num_ws = bench.generator.config.num_ws
        parsed = [parse_rows(rows, num_ws) for rows in self.rows]
        contents, styles = bench.items(self.content), bench.items(self.style)
        content, style = bench.code(contents), bench.code(styles)
        drawn_content = draw_pictures(bench.generator, content)
        drawn_style = draw_pictures(bench.generator, style)
        blank = np.full_like(drawn_content[0], 255)
        for name, rows in zip(self.rows, parsed, strict=True):
            cells = [[blank, *drawn_style]]
            for i, item in enumerate(contents):
                mixed = mix(content[i : i + 1], style, rows)
                label = name.replace(",", "_")
                names = [f"{item.name}_{label}_{other.name}" for other in styles]
                several = [item] * len(styles)
                before = drawn_content[[i] * len(styles)]
                written = bench.write(names, mixed, several, before)
                cells.append([drawn_content[i], *written])
            bench.write_grid(
                cells,
                ["", *(item.name for item in contents)],
                [f"{name} of", *(item.name for item in styles)],
                f"grid_{name.replace(',', '_')}",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale(Command):
    """Styles nearer to the mean, or farther from it, in some rows."""

    inputs: Inputs
    rows: str = "all"  # coarse, middle, fine, style, all, or numbers such as 0-3,7
    factors: str = "0,0.5,1,1.5"  # 1 changes nothing, 0 is the mean

    def run(self, bench: Workbench) -> None:
        """Does it."""
        generator, factors = bench.generator, numbers(self.factors, "--factors")
        rows = parse_rows(self.rows, generator.config.num_ws)
        w_avg = generator.w_avg
        if w_avg is None:
            raise UserError("this network has no mean of w to scale from")
        items = bench.items(self.inputs)
        code = bench.code(items)
        before = draw_pictures(generator, code)
        columns = [
            bench.write(
                [f"{item.name}_scaled{factor:g}" for item in items],
                arithmetic.scale_style(code, w_avg, factor, rows),
                items,
                before,
            )
            for factor in factors
        ]
        bench.write_grid(
            list(zip(*columns, strict=True)),
            [item.name for item in items],
            [f"{self.rows} x {factor:g}" for factor in factors],
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expression(Command):
    """Adds what leads from one image to another to a third: `w1 + t (w3 - w2)`."""

    subject: tuple[str, ...]  # images that change
    neutral: str  # another person
    expressive: str  # that person with the expression
    strength: str = "0,0.5,1"  # t
    # Rows of the difference that are shorter stay as they are. The default is for w of
    # 512 numbers.
    threshold: float = arithmetic.THRESHOLD

    def run(self, bench: Workbench) -> None:
        """Does it."""
        strengths = numbers(self.strength, "--strength")
        items = bench.items(self.subject)
        pair = [bench.one(self.neutral), bench.one(self.expressive)]
        code = bench.code([*items, *pair])
        neutral, expressive = code[-2:-1], code[-1:]
        subject = code[: len(items)]
        change = arithmetic.difference(neutral, expressive, self.threshold)
        moved = np.flatnonzero(np.asarray(jnp.any(change != 0, (0, 2))))
        print(f"rows that change: {', '.join(map(str, moved)) or 'none'}")
        drawn = draw_pictures(bench.generator, code)
        columns = [
            bench.write(
                [f"{item.name}_strength{strength:g}" for item in items],
                arithmetic.transfer_expression(
                    subject, neutral, expressive, strength, self.threshold
                ),
                items,
                drawn,
            )
            for strength in strengths
        ]
        rows = [
            [drawn[-2], drawn[-1], *pictures] for pictures in zip(*columns, strict=True)
        ]
        labels = ["neutral", "expressive", *(f"t = {t:g}" for t in strengths)]
        bench.write_grid(rows, [item.name for item in items], labels)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Features(Command):
    """Features of one image in another, at a layer: in a mask, averaged, by channel."""

    inputs: Inputs
    donor: str  # the image whose features are taken
    # Exactly one of these three. --mask is given as in other operations.
    mask: str | None = None  # copies the features inside
    average: float | None = None  # share of the donor in all features
    channels: str | None = None  # copies channels, such as 0-15,31
    layer: int = activations.LAYER  # counted from 1; the paper's is 4
    share: float = 0.0  # of the donor in the latents behind the layer
    face: Literal["ffhq", "portraits"] = "ffhq"  # how faces are placed

    def run(self, bench: Workbench) -> None:
        """Does it."""
        num_layers = len(bench.generator.noise) or bench.generator.config.num_layers
        if not 1 <= self.layer <= num_layers:
            raise UserError(
                f"--layer {self.layer}: this network has layers 1 to {num_layers}"
            )
        combine, mask = self._combine(bench)
        items, donor = bench.items(self.inputs), bench.one(self.donor)
        code = bench.code([*items, donor])
        first, second = code[: len(items)], code[-1:]
        second = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (len(items), *x.shape[1:])), second
        )
        before = draw_pictures(bench.generator, first)
        other = draw_pictures(bench.generator, second[:1])[0]
        transfer = jax.jit(
            partial(
                activations.transfer,
                combine=combine,
                layers=self.layer,
                share=self.share,
            )
        )
        drawn = transfer(bench.generator, first, second)
        names = [f"{item.name}_with_{donor.name}" for item in items]
        after = bench.write_pictures(names, np.asarray(drawn), items, before)
        labels = ["image", donor.name, *(["mask"] * (mask is not None)), "result"]
        between = [] if mask is None else [shown(mask, other.shape[-1])]
        rows = [[a, other, *between, b] for a, b in zip(before, after, strict=True)]
        bench.write_grid(rows, [item.name for item in items], labels)

    def _combine(self, bench: Workbench) -> tuple[Combine, np.ndarray | None]:
        given = [self.mask, self.average, self.channels]
        if sum(value is not None for value in given) != 1:
            raise UserError("give exactly one of --mask, --average and --channels")
        if self.mask is not None:
            flags = MaskFlags(mask=self.mask, face=self.face)
            mask = flags.hard_mask(bench)
            return activations.copy_inside(jnp.asarray(mask)), mask
        if self.average is not None:
            return activations.average(self.average), None
        count = bench.generator.config.channels(2 ** ((self.layer - 1) // 2 + 2))
        assert self.channels is not None
        try:
            channels = parse_rows(self.channels, count)
        except UserError as error:
            raise UserError(
                f"--channels {self.channels}: layer {self.layer} has channels 0 to "
                f"{count - 1}; give some, such as 0-{count // 2 - 1}"
            ) from error
        return activations.copy_channels(channels), None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attribute(Command):
    """Turns an attribute up and down, along one of `stylegan_jax.directions`."""

    inputs: Inputs
    # A file of directions, or a boundary (.npy) of InterFaceGAN; by default what lies
    # beside the network: NAME_directions.safetensors, in a run directions.safetensors.
    directions: Path | None = None
    name: str | None = None  # which one of the file; needed where it has several
    # Steps along the direction, in standard deviations if the file has them, otherwise
    # in units of w.
    amounts: str = "-2,-1,0,1,2"
    space: Space | None = None  # of a .npy whose name does not say it
    # Where seeds are truncated: before the edit, or after it, as InterFaceGAN does,
    # which makes it weaker by --psi in the first layers.
    truncate: Literal["before", "after"] = "before"
    # relative adds the amount; absolute goes to that distance from the plane.
    distance: Distance = "relative"
    rows: str | None = None  # where to act, instead of the direction's own rows

    def run(self, bench: Workbench) -> None:
        """Does it."""
        generator, amounts = bench.generator, numbers(self.amounts, "--amounts")
        direction = self._direction()
        rows = None
        if self.rows is not None:
            rows = parse_rows(self.rows, generator.config.num_ws)
        items = bench.items(self.inputs)
        in_z = direction.space == "z"
        if in_z and any(item.z is None for item in items):
            raise UserError(
                f"direction {direction.name!r} is in z: it moves seeds only"
            )
        after = self.truncate == "after" and not in_z  # z moves before it anyway
        if after and any(item.z is None for item in items):
            raise UserError("--truncate after is of seeds: codes are not truncated")
        if in_z or after:  # the codes of seeds, whatever their number of classes
            z = np.concatenate([item.z for item in items if item.z is not None])
            labels = labels_of(items)
        code = bench.code(items)
        before = draw_pictures(generator, code)

        def moved(amount: float) -> Code:
            step = amount * (direction.std or 1.0)
            if in_z:
                to = directions.apply(z, direction, step, distance=self.distance)
                return bench.code_of_z(np.asarray(to), labels)

            def edit(ws: Array) -> Array:
                return directions.apply(
                    ws, direction, step, distance=self.distance, layers=rows
                )

            if after:
                return bench.code_of_z(z, labels, edit=edit)
            return Code(edit(code.ws), code.noise)

        columns = [
            bench.write(
                [f"{item.name}_{direction.name}{amount:+g}" for item in items],
                moved(amount),
                items,
                before,
            )
            for amount in amounts
        ]
        bench.write_grid(
            list(zip(*columns, strict=True)),
            [item.name for item in items],
            [f"{direction.name} {amount:+g}" for amount in amounts],
        )

    def _direction(self) -> Direction:
        path = self.directions or beside(self.network)
        if path is None:
            raise UserError(
                f"--directions is missing: no file of directions lies beside "
                f"{self.network}; `python -m stylegan_jax.directions` makes one"
            )
        found = load_directions(path, space=self.space)
        names = [direction.name for direction in found]
        if self.name is None and len(found) == 1:
            return found[0]
        if self.name not in names:
            given = "--name is missing" if self.name is None else f"--name {self.name}"
            known = f"{path} has {', '.join(names)}"
            raise UserError(f"{given}: {did_you_mean(self.name or '', names) or known}")
        return found[names.index(self.name)]
