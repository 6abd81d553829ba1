"""What an edit is given, in one notation.

| word | is |
|---|---|
| `seed:12` | the latent that `stylegan_jax.sample` draws for seed 12 |
| `portrait:50001` | that person of the built-in portraits, as a photograph |
| `portrait:50001:smile=1` | the same person with other attributes |
| `NAME.safetensors` | the code, or codes, that `stylegan_jax.invert` or an edit wrote |
| `NAME.png`, a folder | a photograph, or all in the folder; their central squares |

Numbers may be ranges: `seed:0-3,7`. A word that cannot be read is refused, with a
reason, and the others go on.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from stylegan_jax.common.errors import UserError
from stylegan_jax.data.portraits import Portraits, draw
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import photos
from stylegan_jax.inversion.batch import draw_pictures
from stylegan_jax.inversion.code import Code, stored_noise
from stylegan_jax.networks.generator import Generator
from stylegan_jax.ops import latents

# As in training, where indices from 0 are used; those from here on were never seen by
# the networks of the recipes.
_NUM_PORTRAITS = 1_000_000
_MOST = 1000  # of one word
_KINDS = "seed:NUMBER, portrait:NUMBER, a .safetensors with codes, or a picture"


class Item(NamedTuple):
    """One image.

    Attributes:
        name: for files and captions.
        picture: uint8 `[R, R, C]`; of a code what it draws.
        code: None of photographs, which have to be inverted first.
        z: `[1, z_dim]` of seeds.
    """

    name: str
    picture: np.ndarray
    code: Code | None = None
    z: np.ndarray | None = None


def read(
    words: Sequence[str], generator: Generator, *, psi: float = 0.7
) -> tuple[list[Item], list[str]]:
    """Reads inputs.

    Args:
        words: in the notation above.
        generator: whose codes they are, or are to become.
        psi: truncation of seeds, of the first 8 layers.

    Returns:
        The items, and why words were refused.
    """
    items: list[Item] = []
    refused: list[str] = []
    for word in words:
        try:
            items += _read_word(word, generator, psi)
        except UserError as error:
            refused.append(str(error))
    names: set[str] = set()
    for place, item in enumerate(items):
        name = item.name
        while name in names:
            name += "_"
        names.add(name)
        items[place] = item._replace(name=name)
    return items, refused


def latents_of_seed(seed: int, z_dim: int) -> np.ndarray:
    """The input latent of a seed, float32 `[1, z_dim]`.

    Source: `generate_figures.py`, NVlabs/stylegan; `stylegan_jax.sample`.
    """
    return np.random.RandomState(seed).randn(1, z_dim).astype(np.float32)


def code_of_z(generator: Generator, z: np.ndarray, psi: float) -> Code:
    """Codes of input latents `[N, z_dim]`, truncated, with the stored noise."""
    if generator.config.label_size:
        raise UserError(
            "seeds are of unconditional networks; give codes or photographs to this one"
        )
    ws = generator.map(jnp.asarray(z))
    if generator.w_avg is not None:
        ws = latents.truncate(ws, generator.w_avg, psi, 8)
    return Code(ws, stored_noise(generator, len(z)))


def _read_word(word: str, generator: Generator, psi: float) -> list[Item]:
    kind, _, rest = word.partition(":")
    if kind == "seed" and rest:
        seeds = _numbers(word, rest, 2**32)
        z = np.concatenate(
            [latents_of_seed(seed, generator.config.z_dim) for seed in seeds]
        )
        named = [f"seed{seed}" for seed in seeds]
        return _items(named, generator, code_of_z(generator, z, psi), z)
    if kind == "portrait" and rest:
        if generator.config.num_channels != 3:
            raise UserError(f"{word}: portraits have three channels, this network not")
        text, *changes = rest.split(":")
        return [
            _portrait(word, number, changes, generator.resolution)
            for number in _numbers(word, text, _NUM_PORTRAITS)
        ]
    path = Path(word)
    if path.suffix == ".safetensors":
        code = codes.load(path, generator).code
        some = len(code) > 1
        named = [path.stem + (f"_{i}" if some else "") for i in range(len(code))]
        return _items(named, generator, code, None)
    if not path.exists():
        raise UserError(f"{word}: there is no such file; give {_KINDS}")
    found, refused = photos.read(
        photos.listed([path]),
        generator.resolution,
        generator.config.num_channels,
        aligned=False,
    )
    if refused and not found:
        raise UserError(f"{refused[0].path}: {refused[0].reason}")
    return [Item(photo.name, photo.pixels) for photo in found]


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


def _items(
    names: Sequence[str], generator: Generator, code: Code, z: np.ndarray | None
) -> list[Item]:
    pictures = draw_pictures(generator, code)
    return [
        Item(
            name,
            pictures[i],
            code[i : i + 1],
            None if z is None else z[i : i + 1],
        )
        for i, name in enumerate(names)
    ]


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
