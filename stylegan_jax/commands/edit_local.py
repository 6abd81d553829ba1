"""Operations of `stylegan_jax.edit` that search: local edits."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import jax
import numpy as np
from jax import Array

from stylegan_jax.commands.edit_bench import Column, Command, Workbench
from stylegan_jax.commands.edit_flags import Face, Inputs, MaskFlags, Paste, read_mask
from stylegan_jax.commands.flag_groups import require_at_least
from stylegan_jax.commands.inputs import Item
from stylegan_jax.editing import local, masks
from stylegan_jax.editing.local import Edit, colour_term
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import terms
from stylegan_jax.inversion.code import draw_pictures
from stylegan_jax.inversion.solver import Optimizer, Plan
from stylegan_jax.inversion.terms import Term
from stylegan_jax.io import images

_TOUCHED = 8  # levels by which a scribble differs at least


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crossover(Command, MaskFlags):
    """One image inside a mask, another outside (Image2StyleGAN++, algorithm 3)."""

    inside: tuple[str, ...]  # images seen inside the mask
    outside: tuple[str, ...]  # seen elsewhere; one for each inside, or one for all
    paste: Paste = "whole"  # what goes back into the photograph

    def run(self, bench: Workbench) -> None:
        mask = self.soft_mask(bench.generator.resolution)
        inside, outside = _pairs(bench, self.inside, self.outside, "--outside")
        start = local.mean_start(bench.generator, len(inside))
        edit = bench.search(local.crossover, inside, outside, mask, start)
        names = [f"{a.name}_in_{b.name}" for a, b in zip(inside, outside, strict=True)]
        before = {"inside": inside, "outside": outside, "mask": mask}
        _write(bench, names, outside, edit, before)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inpaint(Command, MaskFlags):
    """Fills a hole; what is in it has no influence (Image2StyleGAN++, algorithm 4)."""

    inputs: Inputs
    paste: Paste = "whole"  # what goes back into the photograph
    solutions: int = 1  # for each image, from different starts
    spread: float = 0.4  # of the starts around the mean, where there are several
    # sgd is the paper's: 200 steps of gradient descent at a rate of 0.8, or of 20 where
    # pixels alone are compared. adam: 1000 at 0.01.
    optimizer: Literal["sgd", "adam"] = "sgd"
    rate: float | None = None  # another learning rate
    rows: str | None = None  # of w that move; by default the paper's (docs/editing.md)
    seed: int = 0  # of the starts

    def run(self, bench: Workbench) -> None:
        require_at_least(self, solutions=1)
        generator, count = bench.generator, self.solutions
        hole = read_mask(self.mask, generator.resolution, self.face)
        # The blur reaches two deviations beyond the hole.
        edge = masks.feather(masks.dilate(hole, 2 * self.feather), self.feather)
        items = [item for item in bench.items(self.inputs) for _ in range(count)]
        start = local.mean_start(
            generator,
            len(items),
            spread=self.spread if count > 1 else 0.0,
            key=jax.random.key(self.seed),
        )
        plan = local.inpainting_plan(bench.features.kind)
        if self.optimizer == "adam":
            plan = Plan(optimizer=Optimizer(learning_rate=0.01))
        if self.rate is not None:
            optimizer = dataclasses.replace(plan.optimizer, learning_rate=self.rate)
            plan = dataclasses.replace(plan, optimizer=optimizer)
        rows = bench.rows(self.rows)
        edit = bench.search(
            local.inpaint, items, hole, start, edge=edge, rows=rows, plan=plan
        )
        names = [
            f"{item.name}_inpainted" + (f"_{i % count}" if count > 1 else "")
            for i, item in enumerate(items)
        ]
        holes = [masks.covered(item.picture, hole) for item in items]
        _write(bench, names, items, edit, {"image": items, "hole": holes})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scribble(Command):
    """Makes strokes painted on an image part of it (Image2StyleGAN++, algorithm 5)."""

    image: str  # the image without strokes
    painted: str | None = None  # the image with strokes, a picture of the same size
    # Strokes without a paint program: MASK=COLOUR, such as mouth=#c03040. Masks are
    # given as in other operations.
    paint: tuple[str, ...] = ()
    feather: float = 0.03  # deviation of the blur around strokes, of the side
    face: Face = "ffhq"  # how faces are aligned, for parts of faces
    rows: str | None = None  # of w that move; by default the paper's first six of 18
    stay: float = 0.01  # weight of the distance from the unpainted image's code

    def run(self, bench: Workbench) -> None:
        item = bench.one(self.image)
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
        painted, rows = [item._replace(picture=picture)], bench.rows(self.rows)
        options = {"rows": rows, "stay": self.stay, "plan": local.SCRIBBLE_PLAN}
        edit = bench.search(local.scribble, painted, region, start, **options)
        drawn = draw_pictures(bench.generator, start)
        before = {"image": [item], "its code": drawn, "painted": painted}
        unedited = _joined(region, [item], drawn)
        _write(bench, "scribbled", [item], edit, before, unedited)

    def _paint(self, picture: np.ndarray, stroke: str) -> np.ndarray:
        where, _, colour = stroke.rpartition("=")
        if not where or not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
            raise UserError(
                f"--paint {stroke}: give MASK=#RRGGBB, such as mouth=#c03040"
            )
        ink = np.array([[[*bytes.fromhex(colour[1:])]]], np.uint8)
        ink = images.convert_channels(ink, picture.shape[-1])
        mask = read_mask(where, picture.shape[0], self.face)[0]
        return np.rint(picture * (1 - mask) + ink * mask).astype(np.uint8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalStyle(Command, MaskFlags):
    """Keeps the inside of a mask, restyles the outside (Image2StyleGAN++, alg. 6)."""

    inputs: Inputs
    style: str  # the image whose style the outside takes
    # vgg16: Gram matrices of conv3_3, the paper's. colours: moments of colours, which
    # need no other network. By default vgg16 where it compares photographs.
    style_of: Literal["vgg16", "colours"] | None = None

    def run(self, bench: Workbench) -> None:
        mask = self.soft_mask(bench.generator.resolution)
        vgg16 = bench.features.vgg16
        if self.style_of == "vgg16" and vgg16 is None:
            raise UserError(
                "--style-of vgg16 goes with --perceptual vgg16; give --style-of colours"
            )

        def make_style(target: Array, mask: Array | None) -> Term:
            if self.style_of == "colours" or vgg16 is None:
                return colour_term(target, mask)
            return terms.style_term(target, vgg16, mask=mask)

        items, style = bench.items(self.inputs), bench.one(self.style)
        start = bench.code(items, detail=False)
        given = items, [style] * len(items), mask, start
        edit = bench.search(local.transfer_local_style, *given, make_style=make_style)
        unedited = _joined(mask, items, draw_pictures(bench.generator, start))
        before = {"image": items, "style": style.picture, "kept": mask}
        _write(bench, f"styled_{style.name}", items, edit, before, unedited)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SwapFace(Command, MaskFlags):
    """The face of one image in another: a crossover in the other's light."""

    inputs: Inputs
    donor: tuple[str, ...]  # whose face it becomes; one for each input, or one for all
    mask: str = "face"  # as in other operations
    paste: Paste = "whole"  # what goes back into the photograph
    match: bool = True  # gives the donor the input's colours inside the mask first

    def run(self, bench: Workbench) -> None:
        mask = self.soft_mask(bench.generator.resolution)
        items, donors = _pairs(bench, self.inputs, self.donor, "--donor")
        given = items, donors, mask, bench.code(items, detail=False)
        edit = bench.search(local.swap_face, *given, match=self.match)
        pairs = zip(items, donors, strict=True)
        names = [f"{a.name}_face_of_{b.name}" for a, b in pairs]
        before = {"image": items, "donor": donors, "mask": mask}
        _write(bench, names, items, edit, before)


def _pairs(
    bench: Workbench, first: Sequence[str], second: Sequence[str], flag: str
) -> tuple[list[Item], list[Item]]:
    """Items of two lists side by side; a single second item goes with all."""
    many, few = bench.items(first), bench.items(second)
    if len(few) == 1:
        few = few * len(many)
    if len(few) != len(many):
        raise UserError(
            f"{flag} is {len(few)} images for {len(many)}; give one for each, or one"
        )
    return many, few


def _joined(mask: np.ndarray, items: Sequence[Item], drawn: np.ndarray) -> np.ndarray:
    """The unedited pictures: originals inside `mask`, drawn ones outside."""
    pictures = np.stack([item.picture for item in items])
    return np.rint(mask * pictures + (1 - mask) * drawn).astype(np.uint8)


def _write(
    bench: Workbench,
    names: Sequence[str] | str,
    items: Sequence[Item],
    edit: Edit,
    before: Mapping[str, Column],
    unedited: np.ndarray | None = None,
) -> None:
    before = {**before, "latents": draw_pictures(bench.generator, edit.latents)}
    bench.write_rows(items, before, {"with noise": (names, edit.code)}, unedited)
