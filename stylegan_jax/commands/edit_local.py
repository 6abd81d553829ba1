"""Operations of `stylegan_jax.edit` that search: the local edits."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.commands.edit_flags import Command, Inputs, MaskFlags, shown
from stylegan_jax.editing import local, local_terms, masks
from stylegan_jax.editing.inputs import Item
from stylegan_jax.editing.layer_names import parse_rows
from stylegan_jax.editing.local import Edit
from stylegan_jax.editing.workbench import Paste, Workbench
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import terms
from stylegan_jax.inversion.code import draw_pictures
from stylegan_jax.inversion.solver import Optimizer, Plan

_TOUCHED = 8  # levels by which a scribble differs at least


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crossover(Command, MaskFlags):
    """One image inside a mask, another outside (Image2StyleGAN++, algorithm 3)."""

    inside: tuple[str, ...]  # seen where the mask is white
    outside: tuple[str, ...]  # one for each of the former, or one for all
    paste: Paste = "whole"  # into the photograph; the alternative is change

    def run(self, bench: Workbench) -> None:
        """Does it."""
        mask = self.soft_mask(bench)
        inside, outside = _pairs(bench, self.inside, self.outside, "--outside")
        edit = bench.search(
            lambda search: local.crossover(
                bench.generator,
                bench.targets(inside),
                bench.targets(outside),
                jnp.asarray(mask),
                local.mean_start(bench.generator, len(inside)),
                search,
            ),
            local.PLAN,
        )
        names = [f"{a.name}_in_{b.name}" for a, b in zip(inside, outside, strict=True)]
        before = [
            [a.picture, b.picture, shown(mask, a.picture.shape[-1])]
            for a, b in zip(inside, outside, strict=True)
        ]
        labels = ["inside", "outside", "mask"]
        _write(bench, names, outside, edit, before, labels)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inpaint(Command, MaskFlags):
    """Fills a hole; what is in it has no influence (Image2StyleGAN++, algorithm 4)."""

    inputs: Inputs
    paste: Paste = "whole"  # into the photograph; the alternative is change
    solutions: int = 1  # with several, starts differ
    spread: float = 0.4  # of the starts around the mean, where there are several
    # sgd is the paper's: 200 steps of gradient descent at a rate of 0.8, or of 20 where
    # pixels alone are compared. adam: 1000 at 0.01.
    optimizer: Literal["sgd", "adam"] = "sgd"
    rate: float | None = None  # of the optimizer, instead
    rows: str | None = None  # that move; by default the paper's, see the docs
    seed: int = 0  # of the starts

    def run(self, bench: Workbench) -> None:
        """Does it."""
        if self.solutions < 1:
            raise UserError(f"--solutions {self.solutions} is below 1")
        generator, hole = bench.generator, self.hard_mask(bench)
        # The blur reaches two deviations beyond the hole.
        edge = masks.feather(masks.dilate(hole, 2 * self.feather), self.feather)
        items = bench.items(self.inputs)
        several = [item for item in items for _ in range(self.solutions)]
        start = local.mean_start(
            generator,
            len(several),
            spread=self.spread if self.solutions > 1 else 0.0,
            key=jax.random.key(self.seed),
        )
        rows = self.rows and parse_rows(self.rows, generator.config.num_ws)
        edit = bench.search(
            lambda search: local.inpaint(
                generator,
                bench.targets(several),
                jnp.asarray(hole),
                start,
                search,
                edge=jnp.asarray(edge),
                rows=rows or None,
            ),
            self._plan(),
        )
        numbered = self.solutions > 1
        names = [
            f"{item.name}_inpainted" + f"_{i % self.solutions}" * numbered
            for i, item in enumerate(several)
        ]
        before = [[i.picture, masks.covered(i.picture, hole)] for i in several]
        _write(bench, names, several, edit, before, ["image", "hole"])

    def _plan(self) -> Plan:
        if self.optimizer == "adam":
            optimizer = Optimizer(learning_rate=self.rate or 0.01)
            return Plan(optimizer=optimizer, steps=1000)
        plan = local.inpainting_plan(self.perceptual != "none")
        if self.rate is None:
            return plan
        optimizer = dataclasses.replace(plan.optimizer, learning_rate=self.rate)
        return dataclasses.replace(plan, optimizer=optimizer)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scribble(Command):
    """Makes strokes painted on an image part of it (Image2StyleGAN++, algorithm 5)."""

    image: str  # without strokes
    painted: str | None = None  # the image with strokes, a picture of the same size
    # Strokes without a paint program: MASK=COLOUR, such as mouth=#c03040. Masks are
    # given as in other operations.
    paint: tuple[str, ...] = ()
    feather: float = 0.03  # deviation of the blur around strokes, of the side
    face: Literal["ffhq", "portraits"] = "ffhq"  # how faces are placed
    rows: str | None = None  # that move; by default the paper's first six of 18
    stay: float = 0.01  # weight of the distance from the unpainted image's code

    def run(self, bench: Workbench) -> None:
        """Does it."""
        generator, item = bench.generator, bench.one(self.image)
        picture = item.picture
        if self.painted is not None:
            picture = bench.one(self.painted).picture
        for stroke in self.paint:
            picture = self._paint(picture, stroke)
        touched = np.abs(picture.astype(int) - item.picture).max(-1) >= _TOUCHED
        if not touched.any():
            raise UserError("no stroke is on the image; give --painted or --paint")
        region = touched.astype(np.float32)[None, :, :, None]
        region = masks.feather(masks.dilate(region, self.feather), self.feather)
        start = bench.code([item], detail=False)
        painted = item._replace(picture=picture)
        rows = self.rows and parse_rows(self.rows, generator.config.num_ws)
        edit = bench.search(
            lambda search: local.scribble(
                generator,
                bench.targets([painted]),
                jnp.asarray(region),
                start,
                search,
                rows=rows or None,
                stay=self.stay,
            ),
            local.SCRIBBLE_PLAN,
        )
        drawn = draw_pictures(generator, start)
        before = [[item.picture, drawn[0], picture]]
        labels = ["image", "its code", "painted"]
        names = [f"{item.name}_scribbled"]
        unedited = _joined(region, [item], drawn)
        _write(bench, names, [item], edit, before, labels, unedited)

    def _paint(self, picture: np.ndarray, stroke: str) -> np.ndarray:
        where, _, colour = stroke.rpartition("=")
        if not where or not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
            raise UserError(
                f"--paint {stroke}: give MASK=#RRGGBB, such as mouth=#c03040"
            )
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        channels = picture.shape[-1]
        ink = rgb if channels == 3 else np.full(channels, rgb.mean())
        frame = masks.FRAMES[self.face]
        mask = masks.parse(where, picture.shape[0], frame, report=print)[0]
        return np.rint(picture * (1 - mask) + ink * mask).astype(np.uint8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalStyle(Command, MaskFlags):
    """Keeps the inside of a mask, restyles the outside (Image2StyleGAN++, alg. 6)."""

    inputs: Inputs
    style: str  # the image whose style the outside takes
    # vgg16: Gram matrices of conv3_3, the paper's. colours: moments of colours, which
    # need no other network.
    style_of: Literal["vgg16", "colours"] = "vgg16"

    def run(self, bench: Workbench) -> None:
        """Does it."""
        generator, mask = bench.generator, self.soft_mask(bench)
        make_style = local_terms.colour_term
        if self.style_of == "vgg16":
            vgg16 = bench.features().vgg16
            if vgg16 is None:
                raise UserError(
                    "--style-of vgg16 goes with --perceptual vgg16; give --style-of "
                    "colours"
                )
            make_style = lambda target, mask: terms.style_term(  # noqa: E731
                target, vgg16, mask=mask
            )
        items, style = bench.items(self.inputs), bench.one(self.style)
        start = bench.code(items, detail=False)
        edit = bench.search(
            lambda search: local.transfer_local_style(
                generator,
                bench.targets(items),
                bench.targets([style] * len(items)),
                jnp.asarray(mask),
                start,
                search,
                make_style=make_style,
            ),
            local.PLAN,
        )
        names = [f"{item.name}_styled_{style.name}" for item in items]
        seen = shown(mask, style.picture.shape[-1])
        before = [[item.picture, style.picture, seen] for item in items]
        unedited = _joined(mask, items, draw_pictures(generator, start))
        labels = ["image", "style", "kept"]
        _write(bench, names, items, edit, before, labels, unedited)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SwapFace(Command, MaskFlags):
    """The face of one image in another: a crossover in the other's light."""

    inputs: Inputs
    donor: tuple[str, ...]  # whose face it becomes; one for each input, or one for all
    mask: str = "face"  # as in other operations
    paste: Paste = "whole"  # into the photograph; the alternative is change
    match: bool = True  # gives the donor the input's colours inside the mask first

    def run(self, bench: Workbench) -> None:
        """Does it."""
        mask = self.soft_mask(bench)
        items, donors = _pairs(bench, self.inputs, self.donor, "--donor")
        start = bench.code(items, detail=False)
        edit = bench.search(
            lambda search: local.swap_face(
                bench.generator,
                bench.targets(items),
                bench.targets(donors),
                jnp.asarray(mask),
                start,
                search,
                match=self.match,
            ),
            local.PLAN,
        )
        names = [
            f"{a.name}_face_of_{b.name}" for a, b in zip(items, donors, strict=True)
        ]
        seen = shown(mask, items[0].picture.shape[-1])
        before = [
            [a.picture, b.picture, seen] for a, b in zip(items, donors, strict=True)
        ]
        _write(bench, names, items, edit, before, ["image", "donor", "mask"])


def _pairs(
    bench: Workbench, first: Sequence[str], second: Sequence[str], flag: str
) -> tuple[list[Item], list[Item]]:
    """Items of two lists side by side; one of the second may go with all."""
    many, few = bench.items(first), bench.items(second)
    if len(few) == 1:
        few = few * len(many)
    if len(few) != len(many):
        raise UserError(
            f"{flag} is {len(few)} images for {len(many)}; give one for each, or one"
        )
    return many, few


def _joined(mask: np.ndarray, items: Sequence[Item], drawn: np.ndarray) -> np.ndarray:
    """What an edit began with: pictures where noise restores them, else their codes."""
    pictures = np.stack([item.picture for item in items])
    return np.rint(mask * pictures + (1 - mask) * drawn).astype(np.uint8)


def _write(
    bench: Workbench,
    names: Sequence[str],
    items: Sequence[Item],
    edit: Edit,
    before: Sequence[Sequence[np.ndarray]],
    labels: Sequence[str],
    unedited: np.ndarray | None = None,
) -> None:
    """Writes results, and a row each: what went in, latents, latents and noise."""
    latents = draw_pictures(bench.generator, edit.latents)
    results = bench.write(names, edit.code, items, unedited)
    rows = [[*pictures, latents[i], results[i]] for i, pictures in enumerate(before)]
    bench.write_grid(rows, list(names), [*labels, "latents", "with noise"])
