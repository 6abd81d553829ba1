"""Inputs, searches and outputs shared by the operations of `stylegan_jax.edit`."""

import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
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
from stylegan_jax.editing.local_terms import make_perceptual
from stylegan_jax.editing.mixing import concatenate
from stylegan_jax.editing.paste import Place
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion.code import Code, draw_pictures, stored_noise
from stylegan_jax.inversion.inverter import invert
from stylegan_jax.inversion.objective import FeatureNets, load_features
from stylegan_jax.inversion.recipes import Recipe
from stylegan_jax.inversion.solver import Plan
from stylegan_jax.io import grids, images
from stylegan_jax.io.outputs import Outputs, files_named_in, write_png
from stylegan_jax.io.terminal import progress_bar
from stylegan_jax.networks.seeds import one_hot

_CELL = 96  # pixels of a picture in a grid, at least
_BATCH = 8  # photographs that are inverted at once


class Workbench:
    """A network, a folder for results, and what could not be done so far."""

    def __init__(self, flags: Flags) -> None:
        """Loads the network and creates the folder."""
        flags.check()
        self.flags, self.rejected = flags, list[str]()
        self.generator = generator = loading.load(flags.network)
        if generator.resolution == 1 or not generator.config.use_styles:
            raise UserError(
                "edits need a network with styles; this one has one latent for all "
                "layers"
            )
        if flags.class_index is not None:  # rejects what is not there
            one_hot(generator.config.label_size, flags.class_index)
        self.outputs = Outputs(
            flags.outdir,
            inputs=files_named_in(flags),
            fixed=("grid.png", "morph.mp4"),
        )
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
        if rejected:
            raise UserError(rejected[0])
        if len(found) != 1:
            raise UserError(f"{word} is {len(found)} images; give one")
        return found[0]

    def _read(self, words: Sequence[str]) -> tuple[list[Item], list[str]]:
        for path in (Path(word) for word in words if ":" not in word):
            if os.path.exists(path):  # False for names that cannot be
                self.outputs.protect([path, *(path.iterdir() if path.is_dir() else ())])
        return self._reader.read(words)

    def code(self, items: Sequence[Item], *, detail: bool = True) -> Code:
        """The code of all items; photographs are inverted and their codes cached.

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
        if not detail:
            code = Code(code.ws, stored_noise(self.generator, len(code)))
        return code

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

    # --- Searches ------------------------------------------------------------------

    @functools.cached_property
    def features(self) -> FeatureNets:
        """The feature networks, loaded on first use."""
        flags = self.flags
        return load_features(
            self._recipe,
            vgg16_path=flags.vgg16,
            lpips_path=flags.lpips,
            own=own.load(flags.features) if flags.features else None,
        )

    @property
    def _recipe(self) -> Recipe:
        flags = self.flags
        return quick_recipe(
            self.generator, flags.perceptual, flags.w_steps, flags.noise_steps
        )

    def search(
        self,
        algorithm: Callable[..., Iterator[Edit]],
        *given: Sequence[Item] | np.ndarray | Code,
        plan: Plan = local.PLAN,
        **options: Any,
    ) -> Edit:
        """Runs an algorithm of `editing.local` with a progress bar.

        Items in `given` become their pictures, `[N, H, W, C]` in [-1, 1]; `plan` is
        that of the latents, without `w_steps`.
        """
        if self.flags.w_steps is not None:
            plan = dataclasses.replace(plan, steps=self.flags.w_steps)
        noise_steps = self.flags.noise_steps
        noise_steps = 1000 if noise_steps is None else noise_steps
        search = Search(
            perceptual=make_perceptual(self.features), w=plan, noise_steps=noise_steps
        )
        inputs = [_targets(x) if isinstance(x, list) else x for x in given]
        edits = algorithm(self.generator, *inputs, search=search, **options)
        with progress_bar() as bar:
            task = bar.add_task("searching", total=plan.steps + noise_steps)
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
        code = edited if isinstance(edited, Code) else None
        pictures = (
            draw_pictures(self.generator, edited)
            if isinstance(edited, Code)
            else edited
        )
        endings = [".png"] + [".safetensors"] * (code is not None)
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
            except (UserError, images.UnreadableImageError, OSError) as error:
                cli.say(f"not pasted: {names[i]}: {error}", sys.stderr)
                continue
            write_png(path.with_name(f"{stem}_photograph.png"), photograph, "picture")
        return pictures

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

    def write_columns(
        self,
        items: Sequence[Item],
        columns: Sequence[tuple[str, str, Code]],
        before: np.ndarray,
        first: Sequence[tuple[str, np.ndarray]] = (),
    ) -> None:
        """Writes each item in several strengths, and a grid with a column for each.

        `columns` have suffix of the names, caption, and codes; `before` is uint8
        `[N, R, R, C]`; `first` are columns of pictures shared by all rows.
        """
        written = [
            self.write([f"{item.name}_{end}" for item in items], code, items, before)
            for end, _, code in columns
        ]
        constant = [picture for _, picture in first]
        self.write_grid(
            [[*constant, *pictures] for pictures in zip(*written, strict=True)],
            [item.name for item in items],
            [*(label for label, _ in first), *(label for _, label, _ in columns)],
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(Flags):
    """An operation."""

    def run(self, bench: Workbench) -> None:
        """Runs the operation."""
        raise NotImplementedError


def _targets(items: Sequence[Item]) -> jnp.ndarray:
    return jnp.asarray(images.from_uint8(np.stack([item.picture for item in items])))


def _about(place: Place | None) -> dict[str, Any]:
    return {"made_by": "stylegan_jax.edit", **(place.about() if place else {})}
