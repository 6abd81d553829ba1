"""Feature networks from users' files; nothing in them is executed.

- a JAX function, `.jaxexport` (`exported_function.py`): any network;
- classifiers of ours (`classifier_file.py`): the layer before the last;
- weights (`.pth`, `.safetensors`, `.npz`) of a known network, by array names: the
  Inception of 2015, VGG16, AlexNet, SqueezeNet 1.1.

"included" is the network of `features/included.py`, a classifier of ours.
"""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import Array

from stylegan_jax.classifiers import classifier_file
from stylegan_jax.classifiers.classifier import HEADS, extractor
from stylegan_jax.errors import UserError
from stylegan_jax.features import (
    exported_function,
    inception,
    included,
    vgg16,
    weights,
)
from stylegan_jax.features.extractor import FrozenNetwork, Params
from stylegan_jax.features.lpips import TRUNKS, Trunk
from stylegan_jax.io import programs

_RESOLUTION = 224  # of the networks' ImageNet images


def located(path: str | os.PathLike[str]) -> Path:
    """The file of features: "included" is in the package, others are paths."""
    return included.FILE if os.fspath(path) == included.NAME else Path(path)


def load(path: str | os.PathLike[str]) -> FrozenNetwork:
    """Feature network of a file, or "included"; UserError if damaged or unknown.

    Functions and classifiers are named after their file; weights are
    `inception-2015-2048`, `vgg16-fc2` (the second dense layer, if the file has it),
    `vgg16`, `alexnet` or `squeezenet1_1`. The last three are means over the pixels of
    the last ReLU before any dense layer, of images resized to 224 x 224 (linearly,
    antialiased) and normalised as ImageNet's. `function` takes uint8 or float images, 0
    to 255, and is differentiable (if exported: with its derivative).
    """
    path = located(path)
    name = included.NAME if path == included.FILE else path.stem
    if path.suffix == programs.SUFFIX:
        return exported_function.load(path)
    names = weights.read(path).keys()
    if path.suffix == ".safetensors" and names >= {*HEADS}:
        one = next(iter(classifier_file.load(path).values()))
        return extractor(one.params, resolution=one.resolution, name=name)
    if names >= inception.shapes().keys():
        return inception.extractor(inception.load(path))
    if names >= vgg16.shapes(dense=True).keys():
        return vgg16.fc2_extractor(vgg16.load(path, dense=True))
    for trunk in TRUNKS.values():
        if names >= trunk.shapes.keys():
            return _last_means(trunk, path)
    some = ", ".join(ascii(name)[:40] for name in sorted(names)[:3])
    raise UserError(
        f"{path} is of no known kind (it holds {some or 'nothing'}, ...); features are "
        "taken of a .jaxexport file, classifiers of stylegan_jax, or weights (.pth, "
        ".pt, .safetensors, .npz) of the Inception of 2015 (pytorch-fid's names), "
        "VGG16, AlexNet or SqueezeNet 1.1 (torchvision's names)"
    )


def _last_means(trunk: Trunk, path: Path) -> FrozenNetwork:
    def function(params: Params, images: Array) -> Array:
        x = images.astype(jnp.float32)
        shape = (len(x), _RESOLUTION, _RESOLUTION, 3)
        if x.shape != shape:
            x = jax.image.resize(x, shape, "linear")
        return trunk.activations(params, vgg16.normalise(x / 255))[-1].mean((1, 2))

    unused = ("classifier.",)
    arrays = weights.load(trunk.source, trunk.shapes, path=path, unused=unused)
    params = weights.parameters(arrays)
    return FrozenNetwork(trunk.name, trunk.widths[-1], params, function)
