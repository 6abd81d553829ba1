"""Inputs of edits and figures, in one notation.

`seed:0-3,7` and `seed:12:class=2`; `portrait:50001:smile=1`, a built-in portrait with
other attributes; files of codes of any program; pictures, and folders of them.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stylegan_jax.alignment.faces import MissingLandmarkerError
from stylegan_jax.commands.flag_groups import parse_seeds
from stylegan_jax.data.portraits.source import Portraits, draw
from stylegan_jax.editing.mixing import code_of_z
from stylegan_jax.editing.paste import Place, place_of
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import photos, results
from stylegan_jax.inversion.code import Code, draw_pictures
from stylegan_jax.io.summary import short_repr
from stylegan_jax.networks.generator import Generator
from stylegan_jax.ops.latents import latents_of_seed

# As in training, where indices from 0 are used; those from here on were never seen by
# the networks of the recipes.
_NUM_PORTRAITS = 1_000_000
_MOST = 1000  # of one word
_KINDS = "seed:NUMBER, portrait:NUMBER, a file of codes, or a picture"


class Item(NamedTuple):
    """One image.

    Attributes:
        name: for files and captions.
        picture: uint8 `[R, R, C]`; of a code what it draws.
        code: None of photographs, which have to be inverted first.
        z: `[1, z_dim]` of seeds.
        label: `[1, label_size]` of seeds of a conditional network.
        place: where the picture was cut from a photograph, if it was.
    """

    name: str
    picture: np.ndarray
    code: Code | None = None
    z: np.ndarray | None = None
    label: np.ndarray | None = None
    place: Place | None = None

    __repr__ = short_repr


def labels_of(items: Sequence[Item]) -> np.ndarray | None:
    """Classes of seeds, `[N, label_size]`; None of an unconditional network."""
    labels = [item.label for item in items if item.label is not None]
    return np.concatenate(labels) if labels else None


def z_of(items: Sequence[Item]) -> np.ndarray | None:
    """Latents of seeds, `[N, z_dim]`; None if some items are none."""
    found = [item.z for item in items if item.z is not None]
    return np.concatenate(found) if len(found) == len(items) else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads inputs.

    `psi` and `cutoff` are of seeds; `aligned` and `landmarks` of photographs, as of
    `photos.read`.
    """

    generator: Generator
    psi: float = 0.7
    cutoff: int | None = 8
    aligned: bool = False
    landmarks: Path | None = None

    def read(self, words: Sequence[str]) -> tuple[list[Item], list[str]]:
        """The items, and the reasons for rejected words or pictures."""
        items: list[Item] = []
        rejected: list[str] = []
        for word in words:
            try:
                found, reasons = self._read_word(word)
                items += found
                rejected += reasons
            except MissingLandmarkerError:
                raise
            except UserError as error:
                rejected.append(str(error))
        return items, rejected

    def _read_word(self, word: str) -> tuple[list[Item], list[str]]:
        kind, _, rest = word.partition(":")
        if kind in ("seed", "portrait") and rest:
            text, *settings = rest.split(":")
            numbers = parse_seeds(text, kind)
            if len(numbers) > _MOST:
                raise UserError(f"{kind}:{text} are over {_MOST}; give fewer at once")
            draw_all = self._seeds if kind == "seed" else self._portraits
            return draw_all(word, numbers, settings), []
        path = Path(word)
        if path.suffix in codes.SUFFIXES:
            return self._stored(path), []
        if not path.exists():
            raise UserError(f"{word}: there is no such file; give {_KINDS}")
        found, refused = photos.read(
            photos.listed([path]),
            self.generator.resolution,
            self.generator.config.num_channels,
            aligned=self.aligned,
            landmarks=self.landmarks,
        )
        items = [Item(x.name, x.pixels, place=Place(x.path, x.quad)) for x in found]
        if not self.aligned:
            items = [item._replace(place=None) for item in items]
        return items, [f"{file.path}: {file.reason}" for file in refused]

    def _seeds(
        self, word: str, seeds: Sequence[int], settings: Sequence[str]
    ) -> list[Item]:
        config, count = self.generator.config, self.generator.config.label_size
        match = re.fullmatch(r"class=(\d{1,6})", ":".join(settings))
        labels, name = None, ""
        if count and match and int(match[1]) < count:
            name = f"_class{int(match[1])}"
            labels = np.eye(1, count, int(match[1]), np.float32).repeat(len(seeds), 0)
        elif count or settings:
            plain = ":".join(word.split(":")[:2])
            way_out = f"has {count} classes: {plain}:class=0 to {count - 1}"
            way_out = way_out if count else f"has no classes: {plain}"
            raise UserError(f"{word}: this network {way_out}")
        z = np.concatenate([latents_of_seed(seed, config.z_dim) for seed in seeds])
        code = code_of_z(self.generator, z, self.psi, cutoff=self.cutoff, labels=labels)
        items = self._items([f"seed{seed}{name}" for seed in seeds], code)
        return [
            item._replace(
                z=z[i : i + 1], label=None if labels is None else labels[i : i + 1]
            )
            for i, item in enumerate(items)
        ]

    def _portraits(
        self, word: str, numbers: Sequence[int], changes: Sequence[str]
    ) -> list[Item]:
        if self.generator.config.num_channels != 3:
            raise UserError(
                f"{word}: portraits have three channels, this network not; give "
                "seed:NUMBER, a file of codes, or a picture"
            )
        if max(numbers) >= _NUM_PORTRAITS:
            raise UserError(f"{word}: portraits are 0 to {_NUM_PORTRAITS - 1}")
        size, source = self.generator.resolution, Portraits(_NUM_PORTRAITS)
        if not changes:
            return [Item(f"portrait{i}", source.image(i, size)) for i in numbers]
        items = []
        for number in numbers:
            person = source.attributes(number)
            for change in changes:
                name, _, value = change.partition("=")
                old = getattr(person, name, None)
                try:
                    new = value if isinstance(old, str) else float(value)
                    new = bool(new) if isinstance(old, bool) else new
                    person = dataclasses.replace(person, **{name: new})
                except (TypeError, ValueError) as error:
                    raise UserError(f"{word}: {change}: {error}") from error
            picture = draw(person, resolution=size, detail_seed=number)
            items.append(Item("_".join([f"portrait{number}", *changes]), picture))
        return items

    def _stored(self, path: Path) -> list[Item]:
        code, about = results.load_code(path, self.generator)
        if len(code) > 1:
            return self._items([f"{path.stem}_{i}" for i in range(len(code))], code)
        try:
            place = place_of(about)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        return [self._items([path.stem], code)[0]._replace(place=place)]

    def _items(self, names: Sequence[str], code: Code) -> list[Item]:
        pictures = draw_pictures(self.generator, code)
        return [
            Item(name, pictures[i], code[i : i + 1]) for i, name in enumerate(names)
        ]
