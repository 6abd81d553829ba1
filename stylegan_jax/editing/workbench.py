"""What every operation of `stylegan_jax.edit` works with: inputs, searches, results."""

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from stylegan_jax.classifiers import own
from stylegan_jax.editing import inputs
from stylegan_jax.editing.inputs import Item
from stylegan_jax.editing.local import Edit, Search
from stylegan_jax.editing.local_terms import make_perceptual
from stylegan_jax.editing.paste import Place
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion.code import Code, draw_pictures, stored_noise
from stylegan_jax.inversion.inverter import invert
from stylegan_jax.inversion.objective import FeatureNets, load_features
from stylegan_jax.inversion.recipes import (
    Perceptual,
    Recipe,
    Stage,
    Weights,
    noise_rate,
    with_perceptual,
)
from stylegan_jax.inversion.solver import Optimizer, Plan
from stylegan_jax.io import grids, images
from stylegan_jax.io.outputs import Outputs, write_png
from stylegan_jax.io.terminal import progress_bar
from stylegan_jax.networks.generator import Generator
from stylegan_jax.networks.seeds import one_hot

Paste = Literal["change", "whole"]

_CELL = 96  # pixels of a picture in a grid, at least
_BATCH = 8  # photographs that are inverted at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Of all searches.

    Attributes:
        perceptual: what else than pixels is compared.
        w_steps: iterations for latents; None is each algorithm's own number.
        noise_steps: iterations for noise, 0 for none; likewise.
        vgg16: a copy of the weights; fetched otherwise.
        lpips: likewise.
        features: a network of one's own.
        class_index: that photographs are inverted in, of a conditional network.
        psi: truncation of seeds.
        cutoff: layers from this one on are not truncated; None truncates all.
        aligned: cuts faces out of photographs; else their central squares are taken.
        landmarks: of the faces, instead of looking for them.
        paste: what goes back into a photograph: what the edit changed, which leaves
            the detail of the photograph, or the whole crop.
    """

    perceptual: Perceptual = "vgg16"
    w_steps: int | None = None
    noise_steps: int | None = None
    vgg16: Path | None = None
    lpips: Path | None = None
    features: Path | None = None
    class_index: int | None = None
    psi: float = 0.7
    cutoff: int | None = 8
    aligned: bool = False
    landmarks: Path | None = None
    paste: Paste = "change"

    def __post_init__(self) -> None:
        """Checks the fields; raises UserError."""
        if self.w_steps is not None and self.w_steps < 1:
            raise UserError(f"`w_steps` {self.w_steps} is below 1")
        if self.noise_steps is not None and self.noise_steps < 0:
            raise UserError(f"`noise_steps` {self.noise_steps} is below 0")
        if self.perceptual == "own" and self.features is None:
            raise UserError("`perceptual` own goes with `features` FILE")
        if self.cutoff is not None and self.cutoff < 0:
            raise UserError(f"`cutoff` {self.cutoff} is below 0")


class Workbench:
    """A network, a folder for results, and what could not be done so far."""

    def __init__(
        self,
        generator: Generator,
        outdir: Path,
        settings: Settings,
        inputs: Sequence[Path] = (),
    ) -> None:
        """Makes the folder; `inputs` are files that no result may replace."""
        if generator.resolution == 1 or not generator.config.use_styles:
            raise UserError(
                "edits need a network with styles; this one has one latent for all "
                "layers"
            )
        if settings.class_index is not None:  # refuses what is not there
            one_hot(generator.config.label_size, settings.class_index)
        self.outputs = Outputs(outdir, inputs=inputs, fixed=("grid.png", "morph.mp4"))
        outdir.mkdir(parents=True, exist_ok=True)
        self.generator, self.settings = generator, settings
        self.refused: list[str] = []
        self._features: FeatureNets | None = None

    # --- Inputs --------------------------------------------------------------------

    def items(self, words: Sequence[str]) -> list[Item]:
        """Reads inputs; those refused are reported at once, and again at the end.

        Raises:
            UserError: nothing is left.
        """
        found, refused = self._read(words)
        if not found:
            raise UserError(refused[0] if refused else "no images are given")
        for reason in refused:
            print(f"left out: {reason}", file=sys.stderr)
        self.refused += refused
        return found

    def one(self, word: str) -> Item:
        """Reads an input that must be one image; raises UserError otherwise."""
        found, refused = self._read([word])
        if refused:
            raise UserError(refused[0])
        if len(found) != 1:
            raise UserError(f"{word} is {len(found)} images; give one")
        return found[0]

    def _read(self, words: Sequence[str]) -> tuple[list[Item], list[str]]:
        settings = self.settings
        for path in (Path(word) for word in words if ":" not in word):
            if os.path.exists(path):  # False for names that cannot be
                self.outputs.protect([path, *(path.iterdir() if path.is_dir() else ())])
        return inputs.read(
            words,
            self.generator,
            psi=settings.psi,
            cutoff=settings.cutoff,
            aligned=settings.aligned,
            landmarks=settings.landmarks,
        )

    def targets(self, items: Sequence[Item]) -> jnp.ndarray:
        """Pictures as searches want them, `[N, H, W, C]` in [-1, 1]."""
        return jnp.asarray(images.from_uint8(np.stack([i.picture for i in items])))

    def code(self, items: Sequence[Item], *, detail: bool = True) -> Code:
        """The code of all items; photographs are inverted, and their codes kept.

        Args:
            items: of one image each.
            detail: with the noise that restores detail; without, the stored noise,
                as searches start from.
        """
        found = {i: item.code for i, item in enumerate(items) if item.code is not None}
        photographs = [i for i, item in enumerate(items) if item.code is None]
        if photographs:
            inverted = self.invert([items[i] for i in photographs])
            for i, (plain, full) in zip(photographs, inverted, strict=True):
                found[i] = full if detail else plain
                about = {"image": items[i].name, **_about(items[i].place)}
                path = self.outputs.path(f"{items[i].name}.safetensors")
                codes.save(path, full, about)
        parts = [found[i] for i in range(len(items))]
        code = Code(
            jnp.concatenate([part.ws for part in parts]),
            tuple(
                jnp.concatenate([jnp.asarray(n) for n in layer])
                for layer in zip(*(part.noise for part in parts), strict=True)
            ),
        )
        if not detail:
            code = Code(code.ws, stored_noise(self.generator, len(items)))
        return code

    def code_of_z(
        self,
        z: np.ndarray,
        labels: np.ndarray | None = None,
        edit: inputs.Move | None = None,
    ) -> Code:
        """Codes of input latents `[N, z_dim]`, edited, then truncated as seeds are."""
        settings = self.settings
        return inputs.code_of_z(
            self.generator,
            z,
            settings.psi,
            cutoff=settings.cutoff,
            labels=labels,
            edit=edit,
        )

    def invert(self, items: Sequence[Item]) -> list[tuple[Code, Code]]:
        """Codes of photographs, before and after the search for noise."""
        size = self.generator.config.label_size
        label = one_hot(size, self.settings.class_index)
        recipe = quick_recipe(self.generator, self.settings)
        steps = sum(stage.plan.steps for stage in recipe.stages)
        found: list[tuple[Code, Code]] = []
        with progress_bar() as bar:
            task = bar.add_task("inverting", total=steps * len(items))
            for step in invert(
                self.generator,
                [item.picture for item in items],
                recipe,
                self.features(),
                labels=label,
                batch_size=min(_BATCH, len(items)),
            ):
                bar.advance(task, step.iterations)
                found += [(one.stages[0].code, one.code) for one in step.finished]
        return found

    # --- Searches ------------------------------------------------------------------

    def features(self) -> FeatureNets:
        """The networks that compare images, loaded when they are first needed."""
        if self._features is None:
            settings = self.settings
            self._features = load_features(
                quick_recipe(self.generator, settings),
                vgg16_path=settings.vgg16,
                lpips_path=settings.lpips,
                own=own.load(settings.features) if settings.features else None,
            )
        return self._features

    def search(self, work: Callable[[Search], Iterator[Edit]], w_plan: Plan) -> Edit:
        """Runs an algorithm with a bar; `w_plan` is its own search for latents."""
        settings = self.settings
        if settings.w_steps is not None:
            w_plan = dataclasses.replace(w_plan, steps=settings.w_steps)
        noise_steps = 1000 if settings.noise_steps is None else settings.noise_steps
        with progress_bar() as bar:
            task = bar.add_task("searching", total=w_plan.steps + noise_steps)
            search = Search(
                perceptual=make_perceptual(self.features()),
                w=w_plan,
                noise_steps=noise_steps,
            )
            for edit in work(search):
                bar.update(task, completed=edit.iterations)
        return edit

    # --- Results -------------------------------------------------------------------

    def write(
        self,
        names: Sequence[str],
        code: Code,
        items: Sequence[Item] | None = None,
        unedited: np.ndarray | None = None,
    ) -> np.ndarray:
        """Writes a picture and a code per name.

        Args:
            names: of the files.
            code: of as many images.
            items: those that were edited; photographs are written with their faces.
            unedited: uint8 `[N, R, R, C]`, what the edit began with; None takes the
                items' pictures.

        Returns:
            The pictures.
        """
        pictures = draw_pictures(self.generator, code)
        stems = self._write_pictures(names, pictures, items, unedited, ".safetensors")
        for i, stem in enumerate(stems):
            about = _about(items[i].place if items else None)
            codes.save(
                self.outputs.folder / f"{stem}.safetensors", code[i : i + 1], about
            )
        return pictures

    def write_pictures(
        self,
        names: Sequence[str],
        drawn: np.ndarray,
        items: Sequence[Item] | None = None,
        unedited: np.ndarray | None = None,
    ) -> np.ndarray:
        """Writes pictures of images `[N, H, W, C]` that no code draws, as `write`."""
        pictures = images.to_uint8(np.asarray(drawn))
        self._write_pictures(names, pictures, items, unedited)
        return pictures

    def _write_pictures(
        self,
        names: Sequence[str],
        pictures: np.ndarray,
        items: Sequence[Item] | None,
        unedited: np.ndarray | None,
        *others: str,
    ) -> list[str]:
        """Writes pictures, and photographs with them; returns the names of the files.

        `others` are endings of files that are to have the same name.
        """
        endings = [".png", *others]
        if any(item.place for item in items or ()):
            endings.append("_photograph.png")
        stems = [self.outputs.stem(name, endings) for name in names]
        folder = self.outputs.folder
        for stem, picture in zip(stems, pictures, strict=True):
            write_png(folder / f"{stem}.png", picture, "picture")
        for i, item in enumerate(items or ()):
            if item.place is None:
                continue
            before = item.picture if unedited is None else unedited[i]
            try:
                photograph = item.place.paste(
                    pictures[i],
                    unedited=before if self.settings.paste == "change" else None,
                )
            except (UserError, images.UnreadableImageError, OSError) as error:
                print(f"not pasted: {names[i]}: {error}", file=sys.stderr)
                continue
            write_png(folder / f"{stems[i]}_photograph.png", photograph, "picture")
        return stems

    def write_grid(
        self,
        rows: Sequence[Sequence[np.ndarray]],
        row_labels: Sequence[str] | None,
        column_labels: Sequence[str],
        name: str = "grid",
    ) -> None:
        """Writes rows of pictures with captions; small pictures are enlarged."""
        cells = np.stack([picture for row in rows for picture in row])
        factor = -(-_CELL // cells.shape[1])
        grid = grids.grid(
            cells.repeat(factor, axis=1).repeat(factor, axis=2),
            len(rows[0]),
            padding=2,
            row_labels=row_labels,
            column_labels=column_labels,
        )
        print(self.outputs.write_png(f"{name}.png", grid, "sheet"))


def quick_recipe(generator: Generator, settings: Settings) -> Recipe:
    """How photographs become codes on the way: fewer and longer steps than `invert`.

    500 iterations each, and the rate of w is 0.05. The rate of
    noise is that of local edits. The rest is Image2StyleGAN++'s.
    """
    w_steps, noise_steps = settings.w_steps or 500, settings.noise_steps
    noise_steps = 500 if noise_steps is None else noise_steps
    plan = Plan(optimizer=Optimizer(learning_rate=0.05), steps=w_steps)
    stages = [Stage(name="w", moves="latent", plan=plan)]
    if noise_steps and generator.config.use_noise:
        rate = noise_rate(generator.resolution, "edit")
        plan = Plan(optimizer=Optimizer(learning_rate=rate), steps=noise_steps)
        pixels = Weights(perceptual=0.0)
        stages.append(Stage(name="noise", moves="noise", weights=pixels, plan=plan))
    recipe = Recipe(stages=tuple(stages), noise="stored")
    return with_perceptual(recipe, settings.perceptual)


def _about(place: Place | None) -> dict[str, Any]:
    """What files of codes say."""
    return {"made_by": "stylegan_jax.edit", **(place.about() if place else {})}
