"""Operations of `stylegan_jax.edit` that compute with codes, without a search."""

import dataclasses
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.commands import cli
from stylegan_jax.commands.edit_bench import Command, Workbench
from stylegan_jax.commands.edit_flags import Face, Inputs, read_mask
from stylegan_jax.commands.flag_groups import parse_numbers
from stylegan_jax.commands.inputs import Item, labels_of, z_of
from stylegan_jax.editing import directions, mixing
from stylegan_jax.editing.direction_files import beside, load_directions
from stylegan_jax.editing.directions import Direction, Distance, Space
from stylegan_jax.editing.fading import faded
from stylegan_jax.editing.mixing import Combine
from stylegan_jax.editing.paste import paste_edit
from stylegan_jax.editing.rows import parse_rows
from stylegan_jax.errors import UserError, did_you_mean
from stylegan_jax.inversion import spaces
from stylegan_jax.inversion.code import Code, draw_pictures
from stylegan_jax.inversion.results import load_code
from stylegan_jax.io import images
from stylegan_jax.metrics.reconstruction import report


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moves(Command):
    """An operation that moves latents and has noise of a photograph to keep."""

    # Noise that was fitted to a photograph fades where the picture changes, or all of
    # it is kept.
    fitted_noise: Literal["fade", "keep"] = "fade"

    def moved(self, bench: Workbench, code: Code, ws: Array) -> Code:
        """The code with other latents."""
        if self.fitted_noise == "keep":
            return Code(ws, code.noise)
        return faded(bench.generator, code, ws)

    def warn(
        self, bench: Workbench, items: Sequence[Item], code: Code, edited: Sequence[Any]
    ) -> None:
        """Says which photographs leave what the network knows, before or by edits.

        `edited` are pairs of a file's ending and a code.
        """
        if all(item.z is not None for item in items):
            return
        labels = spaces.every_class(bench.generator)
        statistics = spaces.w_statistics(bench.generator, labels=labels)
        most = f"samples at most {statistics.farthest:.1f}"
        far = [
            np.asarray(spaces.deviation(statistics, x.ws))
            for _, x in (("", code), *edited)
        ]
        for i, item in enumerate(items):
            if item.z is not None:
                continue
            found = [values[i] for values in far]
            if found[0] > statistics.farthest:
                cli.say(
                    f"{item.name}: its latents are {found[0]:.1f} deviations from the "
                    f"mean, {most}: edits may break; `python -m stylegan_jax.invert` "
                    "with --preset editing finds nearer ones",
                    sys.stderr,
                )
            elif max(found) > statistics.farthest:
                (ending, _), away = edited[int(np.argmax(found)) - 1], max(found)
                cli.say(
                    f"{item.name}_{ending} is {away:.1f} deviations from the mean, "
                    f"{most}: it may break; a smaller step stays nearer",
                    sys.stderr,
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reconstruct(Command):
    """Codes of photographs, and how near the pictures come. `invert` has more."""

    inputs: Inputs

    def run(self, bench: Workbench) -> None:
        items = bench.items(self.inputs)
        plain, full = map(mixing.concatenate, zip(*bench.invert(items), strict=True))
        names, without = [x.name for x in items], draw_pictures(bench.generator, plain)
        before = {"image": items, "latents": without}
        (written,) = bench.write_rows(items, before, {"with noise": (names, full)})
        originals = np.stack([item.picture for item in items])
        psnr = [report(originals, made)["psnr"] for made in (without, written)]
        for name, plainly, fully in zip(names, *psnr, strict=True):
            print(f"{name}: {plainly:.2f} dB, with noise {fully:.2f} dB")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mix(Command):
    """Rows of one image's code in another's: a grid of contents and styles."""

    content: tuple[str, ...]  # images that keep the other rows and the noise
    style: tuple[str, ...]  # images that give rows
    # coarse, middle, fine, style (the second half, as in Image2StyleGAN), or numbers
    # such as 0-3,7; several make a grid each.
    rows: tuple[str, ...] = ("coarse", "middle", "fine")

    def run(self, bench: Workbench) -> None:
        num_ws = bench.generator.config.num_ws
        parsed = [parse_rows(rows, num_ws) for rows in self.rows]
        contents, styles = bench.items(self.content), bench.items(self.style)
        content, style = bench.code(contents), bench.code(styles)
        drawn_content = draw_pictures(bench.generator, content)
        drawn_style = draw_pictures(bench.generator, style)
        blank = np.full_like(drawn_content[0], 255)
        for name, rows in zip(self.rows, parsed, strict=True):
            label, cells = name.replace(",", "_"), [[blank, *drawn_style]]
            for i, item in enumerate(contents):
                mixed = mixing.mix(content[i : i + 1], style, rows)
                names = [f"{item.name}_{label}_{other.name}" for other in styles]
                before = drawn_content[[i] * len(styles)]
                written = bench.write(names, mixed, [item] * len(styles), before)
                cells.append([drawn_content[i], *written])
            bench.write_grid(
                cells,
                ["", *(item.name for item in contents)],
                [f"{name} of", *(item.name for item in styles)],
                f"grid_{label}",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale(Moves):
    """Styles nearer to the mean, or farther from it, in some rows."""

    inputs: Inputs
    rows: str = "all"  # coarse, middle, fine, style, all, or numbers such as 0-3,7
    factors: str = "0,0.5,1,1.5"  # 1 changes nothing, 0 is the mean

    def run(self, bench: Workbench) -> None:
        generator, factors = bench.generator, parse_numbers(self.factors, "--factors")
        rows, w_avg = parse_rows(self.rows, generator.config.num_ws), generator.w_avg
        if w_avg is None:
            raise UserError("this network has no mean of w to scale from")
        items = bench.items(self.inputs)
        code = bench.code(items)
        results = {
            f"{self.rows} x {factor:g}": (
                f"scaled{factor:g}",
                self.moved(
                    bench, code, mixing.scale_style(code, w_avg, factor, rows).ws
                ),
            )
            for factor in factors
        }
        self.warn(bench, items, code, list(results.values()))
        bench.write_rows(items, {}, results, draw_pictures(generator, code))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expression(Moves):
    """Adds the difference of two images to a third: `w1 + t (w3 - w2)`."""

    subject: tuple[str, ...]  # images that change
    neutral: str  # another person without the expression
    expressive: str  # that person with the expression
    strength: str = "0,0.5,1"  # values of t
    # Rows of the difference that are shorter stay as they are. The default is for w of
    # 512 numbers.
    threshold: float = mixing.THRESHOLD

    def run(self, bench: Workbench) -> None:
        strengths = parse_numbers(self.strength, "--strength")
        items = bench.items(self.subject)
        pair = [bench.one(self.neutral), bench.one(self.expressive)]
        code = bench.code([*items, *pair])
        subject, neutral, expressive = code[:-2], code[-2:-1], code[-1:]
        change = mixing.difference(neutral, expressive, self.threshold)
        moved = np.flatnonzero(np.asarray(jnp.any(change != 0, (0, 2))))
        print(f"rows that change: {', '.join(map(str, moved)) or 'none'}")
        drawn = draw_pictures(bench.generator, code)
        results = {
            f"t = {t:g}": (
                f"strength{t:g}",
                self.moved(
                    bench,
                    subject,
                    mixing.transfer_expression(
                        subject, neutral, expressive, t, self.threshold
                    ).ws,
                ),
            )
            for t in strengths
        }
        before = {"neutral": drawn[-2], "expressive": drawn[-1]}
        self.warn(bench, items, subject, list(results.values()))
        bench.write_rows(items, before, results, drawn)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Features(Command):
    """Features of one image in another, at a layer: in a mask, averaged, by channel."""

    inputs: Inputs
    donor: str  # the image whose features are taken
    # Exactly one of these three. --mask is given as in other operations.
    mask: str | None = None  # copies the features inside
    average: float | None = None  # share of the donor in all features
    channels: str | None = None  # copies channels, such as 0-15,31
    layer: int = mixing.LAYER  # counted from 1; the paper's is 4
    share: float = 0.0  # of the donor in the latents behind the layer
    face: Face = "ffhq"  # how faces are placed

    def run(self, bench: Workbench) -> None:
        num_layers = len(bench.generator.noise) or bench.generator.config.num_layers
        if not 1 <= self.layer <= num_layers:
            raise UserError(
                f"--layer {self.layer}: this network has layers 1 to {num_layers}"
            )
        combine, mask = self._combine(bench)
        items, donor = bench.items(self.inputs), bench.one(self.donor)
        code = bench.code([*items, donor])
        first, second = code[:-1], code[np.full(len(items), len(items))]
        unedited = draw_pictures(bench.generator, code)
        before = {"image": unedited[:-1], f"donor {donor.name}": unedited[-1]}
        before |= {} if mask is None else {"mask": mask}
        options = {"combine": combine, "layers": self.layer, "share": self.share}
        transfer = jax.jit(partial(mixing.transfer, **options))
        drawn = images.to_uint8(np.asarray(transfer(bench.generator, first, second)))
        results = {"result": (f"with_{donor.name}", drawn)}
        bench.write_rows(items, before, results, unedited)

    def _combine(self, bench: Workbench) -> tuple[Combine, np.ndarray | None]:
        given = [self.mask, self.average, self.channels]
        if sum(value is not None for value in given) != 1:
            raise UserError("give exactly one of --mask, --average and --channels")
        if self.mask is not None:
            mask = read_mask(self.mask, bench.generator.resolution, self.face)
            return mixing.copy_inside(jnp.asarray(mask)), mask
        if self.average is not None:
            return mixing.average(self.average), None
        count = bench.generator.config.channels(2 ** ((self.layer - 1) // 2 + 2))
        assert self.channels is not None
        try:
            channels = parse_rows(self.channels, count)
        except UserError as error:
            raise UserError(
                f"--channels {self.channels}: layer {self.layer} has channels 0 to "
                f"{count - 1}; give some, such as 0-{count // 2 - 1}"
            ) from error
        return mixing.copy_channels(channels), None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attribute(Moves):
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
        generator, amounts = bench.generator, parse_numbers(self.amounts, "--amounts")
        direction, rows = self._direction(), bench.rows(self.rows)
        items = bench.items(self.inputs)
        z, in_z = z_of(items), direction.space == "z"
        if z is None and in_z:
            raise UserError(
                f"direction {direction.name!r} is in z: it moves seeds only"
            )
        if z is None and self.truncate == "after":
            raise UserError("--truncate after is of seeds: codes are not truncated")
        code = bench.code(items)

        def moved(amount: float) -> Code:
            edit = partial(
                directions.apply,
                direction=direction,
                amount=amount * (direction.std or 1.0),
                distance=self.distance,
                layers=None if in_z else rows,
            )
            of_z = partial(mixing.code_of_z, generator, psi=self.psi)
            of_z = partial(of_z, cutoff=bench.cutoff, labels=labels_of(items))
            if z is not None and in_z:  # which moves before truncation anyway
                return of_z(edit(z))
            if z is not None and self.truncate == "after":
                return of_z(z, edit=edit)
            return self.moved(bench, code, edit(code.ws))

        name = direction.name
        results = {f"{name} {x:+g}": (f"{name}{x:+g}", moved(x)) for x in amounts}
        self.warn(bench, items, code, list(results.values()))
        bench.write_rows(items, {}, results, draw_pictures(generator, code))

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class PasteBack(Command):
    """Edits of a photograph, back in it: what changed is laid over its own pixels."""

    inputs: Inputs  # codes that edits wrote
    inverted: Path  # the code that `stylegan_jax.invert` wrote of the photograph
    photograph: Path | None = None  # by default where invert read it
    whole: bool = False  # lays the whole picture over it, not what changed
    # Width of the fade at the edges, as a share of the side; from 0 to 0.5.
    feather_edges: float = 0.1

    def run(self, bench: Workbench) -> None:
        inverted = load_code(self.inverted, bench.generator)
        for item in bench.items(self.inputs):
            if item.code is None:
                raise UserError(
                    f"{item.name} is a picture; give the .safetensors of an edit"
                )
            pasted = paste_edit(
                bench.generator,
                item.code,
                inverted,
                photograph=self.photograph,
                whole=self.whole,
                feather=self.feather_edges,
            )
            print(bench.outputs.write_png(f"{item.name}_pasted.png", pasted))
