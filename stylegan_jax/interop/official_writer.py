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
    official_variables,
    pickle_emitter,
)
from stylegan_jax.interop.bundle import (
    Bundle,
    TrainedDiscriminator,
    discriminator_arrays,
    generator_arrays,
)
from stylegan_jax.interop.pickle_emitter import NetworkState
from stylegan_jax.io.atomic import atomic_file
from stylegan_jax.networks.generator import Generator

STATE_VERSION = 3
_MODULES = {
    "G_style": "networks_stylegan.py",
    "D_basic": "networks_stylegan.py",
    "G_paper": "networks_progan.py",
    "D_paper": "networks_progan.py",
}


def save_pickle(
    path: str | Path, bundle: Bundle, *, module_src: str = ""
) -> tuple[str, ...]:
    """Writes an official pickle atomically; returns its networks' names.

    Networks with a mean of w become `G_style` and `D_basic`, others `G_paper` and
    `D_paper` (ProGAN).

    Args:
        bundle: written as `(G, D, Gs)`; without a discriminator, the generator alone as
            Gs. The generator stands in for a missing raw one.
        module_src: the source text of `training/networks_stylegan.py`
            (`networks_progan.py` for ProGAN) of NVlabs/stylegan.

    Raises:
        UserError: no official equivalent, or `module_src` lacks the build function.
    """
    ema = bundle.generator
    g_ema = _generator_state("Gs", ema, module_src)
    if bundle.discriminator is None:
        names, value = ("Gs",), g_ema
    else:
        # Shared arrays are written once.
        raw = dataclasses.replace(g_ema, state=g_ema.state | {"name": "G"})
        if bundle.raw is not None:
            raw = _generator_state("G", bundle.raw, module_src)
        d = _discriminator_state(bundle.discriminator, ema, module_src)
        names, value = ("G", "D", "Gs"), (raw, d, g_ema)
    with atomic_file(path) as file:
        pickle_emitter.dump(value, file)
    return names


def build_functions(generator: Generator) -> tuple[str, str]:
    """Official names of the kinds of generator and discriminator."""
    # Of the two, only StyleGAN keeps a mean of w.
    is_style = generator.w_avg is not None
    return ("G_style", "D_basic") if is_style else ("G_paper", "D_paper")


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


def _generator_state(name: str, generator: Generator, module_src: str) -> NetworkState:
    config, (kind, _) = generator.config, build_functions(generator)
    kwargs = official_arguments.official_kwargs(config, kind)
    variables = foreign.spell(
        generator_arrays(generator),
        official_variables.GENERATOR,
        config,
        unfused=official_arguments.is_unfused(kind, kwargs),
    )
    lod = {"lod": level_of_detail(generator)}
    parts: dict[str, dict[str, np.ndarray]] = {"": dict(lod), "synthesis": dict(lod)}
    for official, array in variables.items():
        component, _, local = official.partition("/")
        if not local:  # dlatent_avg
            component, local = "", component
        parts.setdefault(component, {})[local] = array
    if kind == "G_paper":
        return _network(name, kind, kwargs, {}, parts["synthesis"], module_src)
    components = {
        "synthesis": _network(
            "G_synthesis", "G_synthesis", kwargs, {}, parts["synthesis"], module_src
        ),
        "mapping": _network(
            "G_mapping",
            "G_mapping",
            {"dlatent_broadcast": config.num_ws, **kwargs},
            {},
            parts.get("mapping", {}),
            module_src,
        ),
    }
    return _network(name, kind, kwargs, components, parts[""], module_src)


def _discriminator_state(
    discriminator: TrainedDiscriminator, generator: Generator, module_src: str
) -> NetworkState:
    _, kind = build_functions(generator)
    kwargs = official_arguments.official_kwargs(discriminator.config, kind)
    variables = foreign.spell(
        discriminator_arrays(discriminator),
        official_variables.DISCRIMINATOR,
        discriminator.config,
        unfused=official_arguments.is_unfused(kind, kwargs),
    )
    variables = {"lod": level_of_detail(generator), **variables}
    return _network("D", kind, kwargs, {}, variables, module_src)


def _network(
    name: str,
    kind: str,
    kwargs: dict[str, Any],
    components: dict[str, NetworkState],
    variables: dict[str, np.ndarray],
    module_src: str,
) -> NetworkState:
    _check_module(module_src, kind)
    return NetworkState(
        {
            "version": STATE_VERSION,
            "name": name,
            "static_kwargs": kwargs,
            "components": components,
            "build_module_src": module_src,
            "build_func_name": kind,
            "variables": list(variables.items()),
        }
    )


def _check_module(module_src: str, kind: str) -> None:
    if not module_src:
        return
    try:
        body = ast.parse(module_src).body
    except (SyntaxError, ValueError) as error:
        raise UserError(f"the module source is not Python: {error}") from None
    if not any(
        isinstance(node, ast.FunctionDef) and node.name == kind for node in body
    ):
        module = _MODULES.get(kind, "networks_stylegan.py")
        raise UserError(
            f"the module source has no function {kind}; give training/{module} of "
            "NVlabs/stylegan"
        )
