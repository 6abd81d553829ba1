"""Trains the feature network that comes with the package.

    python -m benchmarks.perceptual CLOTHES --labels labels.csv --faces FACES \\
        --out stylegan_jax/pretrained/perceptual.safetensors

One network (`classifiers/classifier.py`, 32 px) with eight heads: five attributes of
drawn portraits, what a photograph or drawing shows, which distortion it has, and how
strong that is. A layer can only tell these apart if it sees shapes, textures and
colours and what spoils them, as one that compares pictures must. The images are whole
or squares of a half to the whole side.

Sources: photographs of clothes with `file,label` in a csv, photographs of faces, and
the package's portraits.
"""

import argparse
import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jax import Array
from PIL import Image, ImageFilter

from stylegan_jax.classifiers import classifier_file
from stylegan_jax.classifiers.attribute_classifiers import ATTRIBUTES, attribute_table
from stylegan_jax.classifiers.classifier import Classifier, train_heads
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.portraits.source import Portraits
from stylegan_jax.data.sources import Source, open_source
from stylegan_jax.features.extractor import Params
from stylegan_jax.features.frozen_layers import conv_relu, max_pool
from stylegan_jax.io.images import from_uint8
from stylegan_jax.io.terminal import progress_bar

SIDE = 32
_FROM = 64  # px of whole images, parts of which are learnt from
_SOURCE = (
    "stylegan_jax's portraits; Clothing dataset (Grigorev 2020, "
    "github.com/alexeygrigorev/clothing-dataset, CC0); Face Research Lab London Set "
    "(DeBruine and Jones 2017, doi.org/10.6084/m9.figshare.5047666, CC BY 4.0)"
)
_LICENCE = "Apache-2.0, as stylegan_jax"
_UNNAMED = ("", "Not sure", "Other", "Skip")
_STRENGTHS = 3
Picture = np.ndarray  # uint8 [32, 32, 3]
Random = np.random.Generator


# --- Distortions ---------------------------------------------------------------------
# Of a picture, by a strength in [0, 1] and random numbers.


def _blur(x: Picture, strength: float, random: Random) -> np.ndarray:
    image = Image.fromarray(x).filter(ImageFilter.GaussianBlur(0.5 + 1.5 * strength))
    return np.asarray(image)


def _noise(x: Picture, strength: float, random: Random) -> np.ndarray:
    return x + random.normal(0, 5 + 35 * strength, x.shape)


def _jpeg(x: Picture, strength: float, random: Random) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(x).save(stream, "JPEG", quality=round(40 - 35 * strength))
    return np.asarray(Image.open(stream))


def _blocks(x: Picture, strength: float, random: Random) -> np.ndarray:
    cell = (2, 4, 8)[min(2, int(3 * strength))]
    small = Image.fromarray(x).resize(
        (SIDE // cell, SIDE // cell), Image.Resampling.BOX
    )
    return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.NEAREST))


def _contrast(x: Picture, strength: float, random: Random) -> np.ndarray:
    factor = np.exp(random.choice([-1, 1]) * (0.2 + 0.8 * strength))
    return x.mean() + factor * (x - x.mean())


def _light(x: Picture, strength: float, random: Random) -> np.ndarray:
    return x + random.choice([-1, 1]) * (15 + 60 * strength)


def _tint(x: Picture, strength: float, random: Random) -> np.ndarray:
    shift = random.normal(size=3)
    shift -= shift.mean()
    return x + (15 + 50 * strength) * shift / np.linalg.norm(shift)


def _grey(x: Picture, strength: float, random: Random) -> np.ndarray:
    return x + (0.4 + 0.6 * strength) * (x.mean(-1, keepdims=True) - x)


def _warp(x: Picture, strength: float, random: Random) -> np.ndarray:
    """Waves of up to 3 pixels, sampled at the nearest of four times as many."""
    amount = 0.7 + 2.3 * strength
    places = np.arange(4 * SIDE) / 4
    turns, phases = random.uniform(0.5, 2.0, 2), random.uniform(0, 2 * np.pi, 2)
    down, across = (
        amount * np.sin(2 * np.pi * turn * places / SIDE + phase)
        for turn, phase in zip(turns, phases, strict=True)
    )
    fine = np.asarray(
        Image.fromarray(x).resize((4 * SIDE, 4 * SIDE), Image.Resampling.BILINEAR)
    )
    rows = (4 * (places[:, None] + down[None])).round().astype(int)
    columns = (4 * (places[None] + across[:, None])).round().astype(int)
    last = 4 * SIDE - 1
    moved = fine[rows.clip(0, last), columns.clip(0, last)]
    return moved.reshape(SIDE, 4, SIDE, 4, 3).mean((1, 3))


def _hole(x: Picture, strength: float, random: Random) -> np.ndarray:
    side = round(4 + 12 * strength)
    top, left = random.integers(0, SIDE - side + 1, 2)
    y = x.copy()
    y[top : top + side, left : left + side] = x.mean((0, 1))
    return y


def _swap(x: Picture, strength: float, random: Random) -> np.ndarray:
    """Two squares change places."""
    side = round(4 + 8 * strength)
    (a, b), (c, d) = random.integers(0, SIDE - side + 1, (2, 2))
    y = x.copy()
    y[a : a + side, b : b + side] = x[c : c + side, d : d + side]
    y[c : c + side, d : d + side] = x[a : a + side, b : b + side]
    return y


DISTORTIONS: dict[str, Callable[[Picture, float, Random], np.ndarray]] = {
    "none": lambda x, strength, random: x,
    "blur": _blur,
    "noise": _noise,
    "jpeg": _jpeg,
    "blocks": _blocks,
    "contrast": _contrast,
    "light": _light,
    "tint": _tint,
    "grey": _grey,
    "warp": _warp,
    "hole": _hole,
    "swap": _swap,
}


def distort(x: Picture, name: str, strength: float, random: Random) -> Picture:
    """A picture with one of `DISTORTIONS`, uint8."""
    y = DISTORTIONS[name](x, strength, random)
    return np.rint(y).clip(0, 255).astype(np.uint8)


# --- Data ----------------------------------------------------------------------------


def part(x: np.ndarray, random: Random) -> Picture:
    """A square of a half to the whole side, mirrored or not, at 32 px."""
    whole = x.shape[0]
    side = whole if random.random() < 0.4 else int(random.integers(whole // 2, whole))
    top, left = random.integers(0, whole - side + 1, 2)
    box = (int(left), int(top), int(left) + side, int(top) + side)
    resampling = Image.Resampling.BOX if side % SIDE == 0 else Image.Resampling.BICUBIC
    y = np.asarray(Image.fromarray(x).resize((SIDE, SIDE), resampling, box=box))
    return y[:, ::-1] if random.random() < 0.5 else y


def examples(
    sources: Sequence[tuple[Source, np.ndarray, int]], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Images `[N, 32, 32, 3]` and classes of all heads, int `[N, 8]`.

    A source comes with the classes of its images for the first six heads and the
    number of images to make of it.
    """
    random, names = np.random.default_rng(seed), list(DISTORTIONS)
    images, classes = [], []
    with progress_bar() as bar:
        task = bar.add_task("images", total=sum(count for *_, count in sources))
        for source, known, count in sources:
            for n in range(count):
                x = part(source.image(n % len(source), _FROM), random)
                which, strength = random.integers(len(names)), random.random()
                images.append(distort(x, names[which], strength, random))
                level = 0 if not which else 1 + int(_STRENGTHS * strength)
                classes.append([*known[n % len(source)], which, level])
                bar.advance(task)
    return np.stack(images), np.array(classes)


def labels_of(folder: Path, file: Path) -> tuple[list[str], np.ndarray]:
    """Names of classes, and the class of each image of a folder in order of names."""
    with file.open() as stream:
        known = {row["file"]: row["label"] for row in csv.DictReader(stream)}
    found = [known.get(path.name, "") for path in sorted(folder.iterdir())]
    found = ["" if name in _UNNAMED else name for name in found]
    names = sorted(set(found))
    return names, np.array([names.index(name) for name in found])


# --- Training ------------------------------------------------------------------------


def balanced(params: Params, images: np.ndarray) -> dict[str, Array]:
    """The same network, with channels of mean square 1 on images after each ReLU.

    ReLUs and pooling commute with positive factors, which go out of a layer's weights
    and into the next one's. Channels that are never active stay.
    """
    made = dict(params)
    x = jnp.asarray(from_uint8(images))
    for i in range(3):
        found = conv_relu(made, f"conv{i}", x)
        square = jnp.mean(found**2, (0, 1, 2))
        scale = jnp.where(square > 0, square, 1.0) ** -0.5
        made[f"conv{i}.weight"] = made[f"conv{i}.weight"] * scale
        made[f"conv{i}.bias"] = made[f"conv{i}.bias"] * scale
        after = f"conv{i + 1}.weight" if i < 2 else "hidden.weight"
        kernel = made[after].reshape(-1, len(scale), made[after].shape[-1])
        kernel = kernel / scale[:, None]
        made[after] = kernel.reshape(made[after].shape)
        x = max_pool(found * scale, 2, 2)
    return made


def main() -> None:
    """Trains, prints the accuracies of the heads, and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clothes", type=Path)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=3000, help="of each source")
    parser.add_argument("--steps", type=int, default=800)
    args = parser.parse_args()

    clothes, faces = (
        open_source(DataConfig(name="folder", path=str(path)))
        for path in (args.clothes, args.faces)
    )
    portraits = Portraits(5000)
    names, garments = labels_of(args.clothes, args.labels)
    table = attribute_table(portraits, None, range(len(portraits)))
    absent = np.full((1, len(table)), 2)  # the third class of attributes

    def known(attributes: np.ndarray, kinds: np.ndarray) -> np.ndarray:
        attributes = np.broadcast_to(attributes, (len(kinds), len(table)))
        return np.concatenate([attributes, kinds[:, None]], 1)

    size = len(names)
    people = known(np.stack([*table.values()], 1), np.full(len(portraits), size + 1))
    images, classes = examples(
        [
            (clothes, known(absent, garments), args.count),
            (faces, known(absent, np.full(len(faces), size)), args.count // 4),
            (portraits, people, args.count),
        ],
        seed=0,
    )
    heads = train_heads(images, classes, steps=args.steps, batch_size=32)
    some = images[np.random.default_rng(1).choice(len(images), 1000)]
    params = balanced(heads[0].params, some)
    titles = [*ATTRIBUTES, "what", "distortion", "strength"]
    made = {
        title: Classifier(
            {**params, **{k: head.params[k] for k in ("heads.weight", "heads.bias")}},
            head.num_classes,
            head.accuracy,
            head.resolution,
        )
        for title, head in zip(titles, heads, strict=True)
    }
    for title, one in made.items():
        most = np.bincount(classes[:, titles.index(title)]).max() / len(classes)
        print(f"{title}: {one.accuracy:.3f}, always the most common {most:.3f}")
    classifier_file.save(
        args.out, made, source=_SOURCE, licence=_LICENCE, dtype=np.float16
    )


if __name__ == "__main__":
    main()
