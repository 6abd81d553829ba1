"""Feature networks from users' files; nothing in them is executed.

- a JAX function, `.jaxexport` (`exported_function.py`): any network;
- classifiers of ours (`classifier_file.py`): the layer before the last;
- weights (`.pth`, `.safetensors`, `.npz`) of a known network, by array names: the
  Inception of 2015, VGG16, AlexNet, SqueezeNet 1.1.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from stylegan_jax.classifiers import classifier_file, classifier_network
from stylegan_jax.errors import UserError
from stylegan_jax.features import (
    exported_function,
    imagenet,
    inception,
    public_weights,
    vgg16,
    weights,
)
from stylegan_jax.features.extractor import FrozenNetwork, Params

_RESOLUTION = 224  # of the networks' ImageNet images

EXPORTED = ".jaxexport"
_KINDS = (
    "a .jaxexport file, classifiers of stylegan_jax, or weights (.pth, .pt, "
    ".safetensors, .npz) of the Inception of 2015 (pytorch-fid's names), VGG16, "
    "AlexNet or SqueezeNet 1.1 (torchvision's names)"
)


def load(path: str | os.PathLike[str]) -> FrozenNetwork:
    """Feature network of a file; raises UserError if it is damaged or of no known kind.

    Functions and classifiers are named after their file; weights are
    `inception-2015-2048`, `vgg16-fc2` (the second dense layer, if the file has it),
    `vgg16`, `alexnet` or `squeezenet1_1`. The last three are means over the pixels of
    the last ReLU before any dense layer, of images resized to 224 x 224 (linearly,
    antialiased) and normalised as ImageNet's. `function` takes uint8 or float images, 0
    to 255, and is differentiable (if exported: with its derivative).
    """
    path = Path(path)
    if path.suffix == EXPORTED:
        return exported_function.load(path)
    if path.suffix == ".safetensors" and classifier_file.is_classifier_file(path):
        return _classifiers(path)
    names = weights.read(path).keys()
    for shapes, make in _ARCHITECTURES:
        if names >= shapes.keys():
            return make(path)
    some = ", ".join(ascii(name)[:40] for name in sorted(names)[:3])
    raise UserError(
        f"{path} is of no known kind (it holds {some or 'nothing'}, ...); features are "
        f"taken of {_KINDS}"
    )


def _classifiers(path: Path) -> FrozenNetwork:
    classifier = next(iter(classifier_file.load(path).values()))
    try:
        return classifier_network.extractor(
            classifier.params, resolution=classifier.resolution, name=path.stem
        )
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _means(
    name: str,
    source: public_weights.WeightFile,
    shapes: dict[str, Any],
    last: Callable[[Params, Array], Array],
) -> tuple[dict[str, Any], Callable[[Path], FrozenNetwork]]:
    """Network of a layer's means over pixels `[N, h, w, size]`, normalising images."""

    def function(params: Params, images: Array) -> Array:
        x = images.astype(jnp.float32)
        shape = (len(x), _RESOLUTION, _RESOLUTION, 3)
        if x.shape != shape:
            x = jax.image.resize(x, shape, "linear")
        return last(params, vgg16.normalise(x / 255)).mean((1, 2))

    def make(path: Path) -> FrozenNetwork:
        arrays = weights.load(source, shapes, path=path, unused=("classifier.",))
        params = weights.parameters(arrays)
        image = jax.ShapeDtypeStruct((1, _RESOLUTION, _RESOLUTION, 3), jnp.uint8)
        size = jax.eval_shape(function, params, image).shape[1]
        return FrozenNetwork(name, size, params, function)

    return shapes, make


_VGG16_LAST = vgg16.RELUS[-1]
# The first whose array names are in the file.
_ARCHITECTURES = (
    (inception.shapes(), lambda path: inception.extractor(inception.load(path))),
    (
        vgg16.shapes(dense=True),
        lambda path: vgg16.fc2_extractor(vgg16.load(path, dense=True)),
    ),
    _means(
        "vgg16",
        public_weights.VGG16,
        vgg16.shapes(dense=False),
        lambda params, x: vgg16.taps(params, x, [_VGG16_LAST])[_VGG16_LAST],
    ),
    _means(
        "squeezenet1_1",
        public_weights.SQUEEZENET,
        imagenet.squeeze_shapes(),
        lambda params, x: imagenet.squeeze_activations(params, x)[-1],
    ),
    _means(
        "alexnet",
        public_weights.ALEXNET,
        imagenet.alex_shapes(),
        lambda params, x: imagenet.alex_activations(params, x)[-1],
    ),
)
