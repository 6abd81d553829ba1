"""Inputs of edits and figures, in one notation.

| word | is |
|---|---|
| `seed:12` | the latent that `stylegan_jax.sample` draws for seed 12 |
| `seed:12:class=2` | the same of a conditional network |
| `portrait:50001` | that person of the built-in portraits, as a photograph |
| `portrait:50001:smile=1` | the same person with other attributes |
| `NAME.safetensors` | the code, or codes, that `stylegan_jax.invert` or an edit wrote |
| `NAME.npz`, `NAME.npy` | w of another program, such as `projected_w.npz` |
| `NAME.png`, a folder | a photograph, or all in the folder: the central square, or the
largest face |

Numbers may be ranges: `seed:0-3,7`.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stylegan_jax.alignment.faces import MissingLandmarkerError
from stylegan_jax.commands.choices import parse_seeds
from stylegan_jax.data.portraits.source import Portraits, draw
from stylegan_jax.editing.mixing import code_of_z
from stylegan_jax.editing.paste import Place, place_of
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import photos
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads inputs.

    Attributes:
        generator: whose codes they are, or are to become.
        psi: truncation of seeds.
        cutoff: layers from this one on are not truncated; None truncates all.
        aligned: cuts faces out of photographs, as `photos.read`.
        landmarks: of the faces, likewise.
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
            except MissingLandmarkerError:
                raise
            except UserError as error:
                found, reasons = [], [str(error)]
            items += found
            rejected += reasons
        return items, rejected

    def _read_word(self, word: str) -> tuple[list[Item], list[str]]:
        kind, _, rest = word.partition(":")
        if kind == "seed" and rest:
            return self._seeds(word, rest), []
        if kind == "portrait" and rest:
            return self._portraits(word, rest), []
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
        places = [Place(x.path, x.quad) if self.aligned else None for x in found]
        return [
            Item(photo.name, photo.pixels, place=place)
            for photo, place in zip(found, places, strict=True)
        ], [f"{file.path}: {file.reason}" for file in refused]

    def _seeds(self, word: str, rest: str) -> list[Item]:
        config = self.generator.config
        text, _, setting = rest.partition(":")
        seeds = _numbers("seed", text)
        labels, name = None, ""
        if config.label_size or setting:
            match = re.fullmatch(r"class=(\d{1,6})", setting)
            if not match or int(match[1]) >= config.label_size:
                way_out = f"has no classes: seed:{text}"
                if config.label_size:
                    last = config.label_size - 1
                    way_out = f"has {last + 1} classes: seed:{text}:class=0 to {last}"
                raise UserError(f"{word}: this network {way_out}")
            number = int(match[1])
            name = f"_class{number}"
            labels = np.eye(1, config.label_size, number, np.float32)
            labels = labels.repeat(len(seeds), 0)
        z = np.concatenate([latents_of_seed(seed, config.z_dim) for seed in seeds])
        code = code_of_z(self.generator, z, self.psi, cutoff=self.cutoff, labels=labels)
        items = self._items([f"seed{seed}{name}" for seed in seeds], code)
        return [
            item._replace(
                z=z[i : i + 1], label=None if labels is None else labels[i : i + 1]
            )
            for i, item in enumerate(items)
        ]

    def _portraits(self, word: str, rest: str) -> list[Item]:
        if self.generator.config.num_channels != 3:
            raise UserError(f"{word}: portraits have three channels, this network not")
        text, *changes = rest.split(":")
        numbers = _numbers("portrait", text)
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
        code, about = codes.load(path, self.generator)
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


def _numbers(kind: str, text: str) -> tuple[int, ...]:
    numbers = parse_seeds(text, kind)
    if len(numbers) > _MOST:
        raise UserError(f"{kind}:{text} are over {_MOST}; give fewer at once")
    return numbers
