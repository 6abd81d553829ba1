"""What an edit is given, in one notation.

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

Numbers may be ranges: `seed:0-3,7`. A word that cannot be read is refused, with a
reason, and the others go on.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from stylegan_jax.alignment.faces import MissingLandmarkerError
from stylegan_jax.data.portraits.source import Portraits, draw
from stylegan_jax.editing.paste import Place, place_of
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import photos
from stylegan_jax.inversion.code import Code, draw_pictures, stored_noise
from stylegan_jax.io.summary import short_repr
from stylegan_jax.networks.generator import Generator
from stylegan_jax.ops import latents
from stylegan_jax.ops.latents import latents_of_seed

Move = Callable[[Array], Array]  # of ws

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Reading:
    generator: Generator
    psi: float
    cutoff: int | None
    aligned: bool
    landmarks: Path | None


def read(
    words: Sequence[str],
    generator: Generator,
    *,
    psi: float = 0.7,
    cutoff: int | None = 8,
    aligned: bool = False,
    landmarks: Path | None = None,
) -> tuple[list[Item], list[str]]:
    """Reads inputs.

    Args:
        words: in the notation above.
        generator: whose codes they are, or are to become.
        psi: truncation of seeds.
        cutoff: layers from this one on are not truncated; None truncates all.
        aligned: cuts faces out of photographs, as `photos.read`.
        landmarks: likewise.

    Returns:
        The items, and why words, or pictures of a folder, were refused.

    Raises:
        MissingLandmarkerError: faces are to be found, and dlib is not installed.
    """
    items: list[Item] = []
    refused: list[str] = []
    reading = _Reading(
        generator=generator,
        psi=psi,
        cutoff=cutoff,
        aligned=aligned,
        landmarks=landmarks,
    )
    for word in words:
        try:
            found, reasons = _read_word(word, reading)
        except MissingLandmarkerError:
            raise
        except UserError as error:
            found, reasons = [], [str(error)]
        items += found
        refused += reasons
    names: set[str] = set()
    for place, item in enumerate(items):
        name = item.name
        while name in names:
            name += "_"
        names.add(name)
        items[place] = item._replace(name=name)
    return items, refused


def labels_of(items: Sequence[Item]) -> np.ndarray | None:
    """The classes of seeds, `[N, label_size]`; None of an unconditional network."""
    labels = [item.label for item in items if item.label is not None]
    return np.concatenate(labels) if labels else None


def code_of_z(
    generator: Generator,
    z: np.ndarray,
    psi: float,
    *,
    cutoff: int | None = 8,
    labels: np.ndarray | None = None,
    edit: Move | None = None,
) -> Code:
    """Codes of input latents `[N, z_dim]`, truncated, with the stored noise.

    `psi` and `cutoff` are as in `Generator.sample`; `labels` are `[N, label_size]`,
    of conditional networks; `edit` changes ws before truncation.
    """
    ws = generator.map(jnp.asarray(z), None if labels is None else jnp.asarray(labels))
    ws = ws if edit is None else edit(ws)
    if generator.w_avg is not None:
        ws = latents.truncate(ws, generator.w_avg, psi, cutoff)
    return Code(ws, stored_noise(generator, len(z)))


def _read_word(word: str, reading: _Reading) -> tuple[list[Item], list[str]]:
    """The items of a word, and why some of its files were refused."""
    generator = reading.generator
    kind, _, rest = word.partition(":")
    if kind == "seed" and rest:
        return _seeds(word, rest, reading), []
    if kind == "portrait" and rest:
        if generator.config.num_channels != 3:
            raise UserError(f"{word}: portraits have three channels, this network not")
        text, *changes = rest.split(":")
        return [
            _portrait(word, number, changes, generator.resolution)
            for number in _numbers(word, text, _NUM_PORTRAITS)
        ], []
    path = Path(word)
    if path.suffix in codes.SUFFIXES:
        return _stored(path, generator), []
    if not path.exists():
        raise UserError(f"{word}: there is no such file; give {_KINDS}")
    found, refused = photos.read(
        photos.listed([path]),
        generator.resolution,
        generator.config.num_channels,
        aligned=reading.aligned,
        landmarks=reading.landmarks,
    )
    items = [
        Item(
            photo.name,
            photo.pixels,
            place=Place(photo.path, photo.quad) if reading.aligned else None,
        )
        for photo in found
    ]
    return items, [f"{file.path}: {file.reason}" for file in refused]


def _seeds(word: str, rest: str, reading: _Reading) -> list[Item]:
    generator, size = reading.generator, reading.generator.config.label_size
    text, *settings = rest.split(":")
    seeds = _numbers(word, text, 2**32)
    labels, name = None, ""
    if size or settings:
        match = re.fullmatch(r"class=(\d{1,6})", ":".join(settings))
        if not match or int(match[1]) >= size:
            way_out = (
                f"has {size} classes: seed:{text}:class=0 to {size - 1}"
                if size
                else f"has no classes: seed:{text}"
            )
            raise UserError(f"{word}: this network {way_out}")
        labels = np.eye(1, size, int(match[1]), np.float32).repeat(len(seeds), 0)
        name = f"_class{int(match[1])}"
    z = np.concatenate(
        [latents_of_seed(seed, generator.config.z_dim) for seed in seeds]
    )
    code = code_of_z(generator, z, reading.psi, cutoff=reading.cutoff, labels=labels)
    items = _items([f"seed{seed}{name}" for seed in seeds], generator, code)
    return [
        item._replace(
            z=z[i : i + 1], label=None if labels is None else labels[i : i + 1]
        )
        for i, item in enumerate(items)
    ]


def _stored(path: Path, generator: Generator) -> list[Item]:
    """The codes of a file; one of a face knows the photograph."""
    code, about = codes.load(path, generator)
    if len(code) > 1:
        return _items([f"{path.stem}_{i}" for i in range(len(code))], generator, code)
    try:
        place = place_of(about)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return [_items([path.stem], generator, code)[0]._replace(place=place)]


def _portrait(word: str, number: int, changes: Sequence[str], size: int) -> Item:
    source = Portraits(_NUM_PORTRAITS)
    if not changes:
        return Item(f"portrait{number}", source.image(number, size))
    person = source.attributes(number)
    for change in changes:
        name, _, text = change.partition("=")
        old = getattr(person, name, None)
        try:
            value = text if isinstance(old, str) else float(text)
            value = bool(value) if isinstance(old, bool) else value
            person = dataclasses.replace(person, **{name: value})
        except (TypeError, ValueError) as error:
            raise UserError(f"{word}: {change}: {error}") from error
    picture = draw(person, resolution=size, detail_seed=number)
    return Item("_".join([f"portrait{number}", *changes]), picture)


def _items(names: Sequence[str], generator: Generator, code: Code) -> list[Item]:
    pictures = draw_pictures(generator, code)
    return [Item(name, pictures[i], code[i : i + 1]) for i, name in enumerate(names)]


def _numbers(word: str, text: str, limit: int) -> list[int]:
    """Reads `0-3,7`."""
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < limit or last - first >= _MOST:
            raise UserError(
                f"{word}: {part!r} is not a number below {limit} or a range such as 0-3"
            )
        numbers += range(first, last + 1)
    return numbers
