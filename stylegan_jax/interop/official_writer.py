"""Writer of official pickles, for tools of NVlabs/stylegan; without TensorFlow.

The official loader executes the source text of the module with a network's build
function. That text is under NVIDIA's non-commercial licence and not shipped:
`module_src` comes from the user's own checkout. Without it, this package and other
readers of weights can load a file, the official loader cannot.

Source of the layout: `Network.__getstate__` and `__setstate__` in NVlabs/stylegan,
`dnnlib/tflib/network.py`.
"""

import ast
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.interop import (
    foreign,
    official_arguments,
    pickle_emitter,
    stylegan_tf,
)
from stylegan_jax.interop.bundle import (
    Bundle,
    TrainedDiscriminator,
    discriminator_arrays,
    generator_arrays,
)
from stylegan_jax.io.atomic import atomic_file
from stylegan_jax.networks.generator import Generator
from stylegan_jax.pickles.official_pickle import PickledNetwork


def save_pickle(path: str | Path, bundle: Bundle, *, module_src: str = "") -> None:
    """Writes an official pickle atomically.

    Networks with a mean of w become `G_style` and `D_basic`, others `G_paper` and
    `D_paper` (ProGAN): `(G, D, Gs)`, or Gs alone if there is no discriminator. The
    generator stands in for a missing raw one. `module_src` is the source text of
    NVlabs/stylegan's `training/networks_stylegan.py` (ProGAN: `networks_progan.py`).

    Raises UserError without an official equivalent, or if `module_src` lacks the build
    function.
    """
    ema = bundle.generator
    networks = [_generator_network("Gs", ema)]
    if bundle.discriminator is not None:
        # Shared arrays are written once.
        raw = dataclasses.replace(networks[0], name="G")
        if bundle.raw is not None:
            raw = _generator_network("G", bundle.raw)
        d = _discriminator_network(bundle.discriminator, ema)
        networks = [raw, d, *networks]
    if module_src:
        _check_module(module_src, networks)
    value = tuple(networks) if len(networks) > 1 else networks[0]
    with atomic_file(path) as file:
        pickle_emitter.dump(value, file, module_src=module_src)


def level_of_detail(generator: Generator) -> np.ndarray:
    """Official `lod`, float32 of shape (): 0 is the final resolution, grown.

    Fades stay one float32 step off whole numbers, which would change the resolution.
    """
    coarser = math.log2(generator.config.resolution // generator.resolution)
    if generator.alpha is None:
        return np.array(coarser, np.float32)
    low, high = np.float32(coarser), np.float32(coarser + 1)
    lod = np.float32(coarser + 1 - float(generator.alpha))
    return np.array(np.clip(lod, np.nextafter(low, high), np.nextafter(high, low)))


def _generator_network(name: str, generator: Generator) -> PickledNetwork:
    config = generator.config
    # Of the two, only StyleGAN keeps a mean of w.
    kind = "G_paper" if generator.w_avg is None else "G_style"
    kwargs = official_arguments.official_kwargs(config, kind)
    variables = foreign.spell(
        generator_arrays(generator),
        stylegan_tf.GENERATOR,
        config,
        unfused=official_arguments.is_unfused(kind, kwargs),
    )
    lod = level_of_detail(generator)
    parts = {"": {"lod": lod}, "synthesis": {"lod": lod}, "mapping": {}}
    for official, array in variables.items():
        component, slash, local = official.partition("/")
        if not slash:  # dlatent_avg
            component, local = "", official
        parts[component][local] = array
    if kind == "G_paper":
        return _network(name, kind, kwargs, parts["synthesis"])
    found = _network(name, kind, kwargs, parts[""])
    for part in ("synthesis", "mapping"):
        more = {"dlatent_broadcast": config.num_ws} if part == "mapping" else {}
        kind = f"G_{part}"
        found.components[part] = _network(kind, kind, more | kwargs, parts[part])
    return found


def _discriminator_network(
    discriminator: TrainedDiscriminator, generator: Generator
) -> PickledNetwork:
    kind = "D_paper" if generator.w_avg is None else "D_basic"
    kwargs = official_arguments.official_kwargs(discriminator.config, kind)
    variables = foreign.spell(
        discriminator_arrays(discriminator),
        stylegan_tf.DISCRIMINATOR,
        discriminator.config,
        unfused=official_arguments.is_unfused(kind, kwargs),
    )
    return _network("D", kind, kwargs, {"lod": level_of_detail(generator)} | variables)


def _network(
    name: str, kind: str, kwargs: dict[str, Any], variables: dict[str, np.ndarray]
) -> PickledNetwork:
    return PickledNetwork(
        name=name, build_func_name=kind, static_kwargs=kwargs, variables=variables
    )


def _check_module(module_src: str, networks: list[PickledNetwork]) -> None:
    try:
        body = ast.parse(module_src).body
    except (SyntaxError, ValueError) as error:
        raise UserError(f"the module source is not Python: {error}") from None
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    for network in networks:
        for part in (network, *network.components.values()):
            kind = part.build_func_name
            if kind not in functions:
                family = "progan" if kind.endswith("_paper") else "stylegan"
                raise UserError(
                    f"the module source has no function {kind}; give "
                    f"training/networks_{family}.py of NVlabs/stylegan"
                )
