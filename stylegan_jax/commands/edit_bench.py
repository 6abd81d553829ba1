"""Inputs, searches and outputs shared by the operations of `stylegan_jax.edit`."""

import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from stylegan_jax import loading
from stylegan_jax.classifiers import own
from stylegan_jax.commands import cli
from stylegan_jax.commands.edit_flags import Flags
from stylegan_jax.commands.flag_groups import layers_of
from stylegan_jax.commands.inputs import Item, Reader
from stylegan_jax.editing import local
from stylegan_jax.editing.local import Edit, Search, quick_recipe
from stylegan_jax.editing.mixing import concatenate
from stylegan_jax.editing.paste import Place
from stylegan_jax.editing.rows import parse_rows
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion.code import Code, draw_pictures, stored_noise
from stylegan_jax.inversion.feature_nets import FeatureNets
from stylegan_jax.inversion.inverter import invert
from stylegan_jax.inversion.recipes import Recipe, load_features
from stylegan_jax.inversion.solver import Plan
from stylegan_jax.io import grids, images
from stylegan_jax.io.outputs import Outputs, files_named_in, write_png
from stylegan_jax.io.terminal import progress_bar
from stylegan_jax.networks.seeds import one_hot

_CELL = 96  # pixels of a picture in a grid, at least
_BATCH = 8  # photographs that are inverted at once

# A column of a grid: one picture for each row, or one picture or mask for all.
Column = Sequence[Item] | Sequence[np.ndarray] | np.ndarray


class Workbench:
    """A network, a folder for results, and the inputs that were left out."""

    def __init__(self, flags: Flags) -> None:
        """Loads the network and creates the folder."""
        flags.check()
        self.flags, self.rejected = flags, list[str]()
        self.generator = generator = loading.load(flags.network)
        if generator.resolution == 1 or not generator.config.use_styles:
            raise UserError("edits need a network with a style for each layer")
        if flags.class_index is not None:  # rejects what is not there
            one_hot(generator.config.label_size, flags.class_index)
        named, fixed = files_named_in(flags), ("grid.png", "morph.mp4")
        self.outputs = Outputs(flags.outdir, inputs=named, fixed=fixed)
        flags.outdir.mkdir(parents=True, exist_ok=True)
        self.cutoff = layers_of(flags.cutoff)
        self._reader = Reader(
            generator=generator,
            psi=flags.psi,
            cutoff=self.cutoff,
            aligned=flags.align,
            landmarks=flags.landmarks,
        )

    # --- Inputs --------------------------------------------------------------------

    def items(self, words: Sequence[str]) -> list[Item]:
        """Reads inputs; rejected ones are reported at once and at the end."""
        found, rejected = self._read(words)
        if not found:
            raise UserError(rejected[0] if rejected else "no images are given")
        for reason in rejected:
            cli.say(f"left out: {reason}", sys.stderr)
        self.rejected += rejected
        return found

    def one(self, word: str) -> Item:
        """Reads an input that must be one image; UserError otherwise."""
        found, rejected = self._read([word])
        if rejected or len(found) != 1:
            raise UserError([*rejected, f"{word} is {len(found)} images; give one"][0])
        return found[0]

    def _read(self, words: Sequence[str]) -> tuple[list[Item], list[str]]:
        for path in (Path(word) for word in words if ":" not in word):
            if os.path.exists(path):  # False for names that cannot be
                self.outputs.protect([path, *(path.iterdir() if path.is_dir() else ())])
        return self._reader.read(words)

    def code(self, items: Sequence[Item], *, detail: bool = True) -> Code:
        """The code of all items; photographs are inverted and their codes written.

        Without `detail` noise is the stored noise, from which searches start.
        """
        photographs = [item for item in items if item.code is None]
        inverted = iter(self.invert(photographs) if photographs else ())
        parts: list[Code] = []
        for item in items:
            if item.code is not None:
                parts.append(item.code)
                continue
            plain, full = next(inverted)
            parts.append(full if detail else plain)
            about = {"image": item.name, **_about(item.place)}
            codes.save(self.outputs.path(f"{item.name}.safetensors"), full, about)
        code = concatenate(parts)
        noise = code.noise if detail else stored_noise(self.generator, len(code))
        return Code(code.ws, noise)

    def invert(self, items: Sequence[Item]) -> list[tuple[Code, Code]]:
        """Codes of photographs, before and after the search for noise."""
        steps = sum(stage.plan.steps for stage in self._recipe.stages)
        size = self.generator.config.label_size
        found: list[tuple[Code, Code]] = []
        with progress_bar() as bar:
            task = bar.add_task("inverting", total=steps * len(items))
            for step in invert(
                self.generator,
                [item.picture for item in items],
                self._recipe,
                self.features,
                labels=one_hot(size, self.flags.class_index),
                batch_size=min(_BATCH, len(items)),
            ):
                bar.advance(task, step.iterations)
                found += [(one.stages[0].code, one.code) for one in step.finished]
        return found

    def rows(self, text: str | None) -> tuple[int, ...] | None:
        """Rows of w by name or number; None stays None."""
        return None if text is None else parse_rows(text, self.generator.config.num_ws)

    # --- Searches ------------------------------------------------------------------

    @functools.cached_property
    def _recipe(self) -> Recipe:
        """That of photographs; made on first use, since it says what compares them."""
        flags = self.flags
        return quick_recipe(
            self.generator,
            flags.perceptual,
            flags.w_steps,
            flags.noise_steps,
            vgg16_path=flags.vgg16,
            lpips_path=flags.lpips,
        )

    @functools.cached_property
    def features(self) -> FeatureNets:
        """The feature networks, loaded on first use."""
        flags = self.flags
        mine = own.load(flags.features) if flags.features else None
        return load_features(
            self._recipe, vgg16_path=flags.vgg16, lpips_path=flags.lpips, own=mine
        )

    def search(
        self,
        algorithm: Callable[..., Iterator[Edit]],
        *given: list[Item] | np.ndarray | Code,
        plan: Plan = local.PLAN,
        **options: Any,
    ) -> Edit:
        """Runs an algorithm of `editing.local` with a progress bar.

        Items in `given` become their pictures, `[N, H, W, C]` in [-1, 1]; `plan` is
        that of the latents, without `w_steps`.
        """
        if self.flags.w_steps is not None:
            plan = dataclasses.replace(plan, steps=self.flags.w_steps)
        search = Search(features=self.features, w=plan)
        if self.flags.noise_steps is not None:
            search = dataclasses.replace(search, noise_steps=self.flags.noise_steps)
        inputs = [
            jnp.asarray(images.from_uint8(_pictures(x))) if isinstance(x, list) else x
            for x in given
        ]
        edits = algorithm(self.generator, *inputs, search=search, **options)
        with progress_bar() as bar:
            task = bar.add_task("searching", total=plan.steps + search.noise_steps)
            for edit in edits:
                bar.update(task, completed=edit.iterations)
        return edit

    # --- Results -------------------------------------------------------------------

    def write(
        self,
        names: Sequence[str],
        edited: Code | np.ndarray,
        items: Sequence[Item],
        unedited: np.ndarray | None = None,
    ) -> np.ndarray:
        """Writes and returns a picture per name, with its code where there is one.

        `edited` are codes or, without a code, pictures uint8 `[N, R, R, C]`; `unedited`
        those before the edit, by default the items'. Faces are also pasted into
        photographs.
        """
        if isinstance(edited, Code):
            endings, code = [".png", ".safetensors"], edited
            pictures = draw_pictures(self.generator, edited)
        else:
            endings, code, pictures = [".png"], None, edited
        endings += ["_photograph.png"] * any(item.place for item in items)
        stems = [self.outputs.stem(name, endings) for name in names]
        for i, (stem, item) in enumerate(zip(stems, items, strict=True)):
            path = self.outputs.folder / stem
            write_png(path.with_name(f"{stem}.png"), pictures[i], "picture")
            if code is not None:
                stored = path.with_name(f"{stem}.safetensors")
                codes.save(stored, code[i : i + 1], _about(item.place))
            if item.place is None:
                continue
            before = item.picture if unedited is None else unedited[i]
            try:
                photograph = item.place.paste(
                    pictures[i],
                    unedited=before if self.flags.paste == "change" else None,
                )
            except (UserError, OSError) as error:
                cli.say(f"not pasted: {names[i]}: {error}", sys.stderr)
                continue
            write_png(path.with_name(f"{stem}_photograph.png"), photograph, "picture")
        return pictures

    def write_rows(
        self,
        items: Sequence[Item],
        before: Mapping[str, Column],
        results: Mapping[str, tuple[Sequence[str] | str, Code | np.ndarray]],
        unedited: np.ndarray | None = None,
    ) -> list[np.ndarray]:
        """Writes and returns results as `write`, and a grid with a row for each item.

        `before` are its first columns by caption, `results` the others: names, or an
        ending of the items' names, and codes or pictures.
        """
        channels = items[0].picture.shape[-1]
        columns = [_column(value, len(items), channels) for value in before.values()]
        written, labels = [], [item.name for item in items]
        for names, edited in results.values():
            if isinstance(names, str):
                names = [f"{item.name}_{names}" for item in items]
            written.append(self.write(names, edited, items, unedited))
            labels = names if len(results) == 1 else labels
        rows = list(zip(*columns, *written, strict=True))
        self.write_grid(rows, labels, [*before, *results])
        return written

    def write_grid(
        self,
        rows: Sequence[Sequence[np.ndarray]],
        row_labels: Sequence[str],
        column_labels: Sequence[str],
        name: str = "grid",
    ) -> None:
        """Writes a captioned grid; small pictures are enlarged."""
        grid = grids.labelled(
            [picture for row in rows for picture in row],
            len(rows[0]),
            row_labels=row_labels,
            column_labels=column_labels,
            at_least=_CELL,
        )
        print(self.outputs.write_png(f"{name}.png", grid, "sheet"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(Flags):
    """An operation."""

    def run(self, bench: Workbench) -> None:
        """Runs the operation."""
        raise NotImplementedError


def _column(value: Column, count: int, channels: int) -> Sequence[np.ndarray]:
    if not isinstance(value, np.ndarray):
        return [*_pictures(value)]
    picture: np.ndarray = value
    if picture.dtype != np.uint8:  # a mask
        picture = np.rint(255 * picture[0]).astype(np.uint8).repeat(channels, axis=-1)
    return [*picture] if picture.ndim == 4 else [picture] * count


def _pictures(items: Sequence[Item] | Sequence[np.ndarray]) -> np.ndarray:
    return np.stack([x.picture if isinstance(x, Item) else x for x in items])


def _about(place: Place | None) -> dict[str, Any]:
    return {"made_by": "stylegan_jax.edit", **(place.about() if place else {})}
