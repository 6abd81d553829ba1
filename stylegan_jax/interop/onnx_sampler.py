"""Sampler file for other runtimes (`.onnx`), such as onnxruntime, also in browsers.

One graph with weights and noise; `onnx_graph` lists its inputs, and `usage` gives code
that runs it. What is written is run with onnxruntime and compared with JAX.
"""

import importlib.util
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import stylegan_jax
from stylegan_jax.errors import UserError
from stylegan_jax.io.atomic import atomic_write
from stylegan_jax.networks.generator import Generator
from stylegan_jax.ops.latents import truncate

TOLERANCE = 1e-4  # largest difference of images in [-1, 1]


def save(
    path: str | os.PathLike[str],
    generator: Generator,
    *,
    cutoff: int | None = 8,
    source: str = "",
    licence: str = "",
) -> None:
    """Writes the sampler of a generator, with its stored noise, in float32.

    `path` conventionally ends in `.onnx`; layers from `cutoff` on are not truncated
    (None: all are). Raises UserError without `onnx` and `onnxruntime`.
    """
    _need_packages()
    from stylegan_jax.interop import onnx_graph

    notes = {"source": source, "licence": licence}
    notes["stylegan_jax"] = stylegan_jax.__version__
    model = onnx_graph.make_model(generator, cutoff=cutoff, notes=notes)
    atomic_write(Path(path), model.SerializeToString())


def _need_packages() -> None:
    if not all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))):
        raise UserError(
            "an .onnx file needs the packages onnx and onnxruntime; pip install "
            "'stylegan_jax[onnx]'"
        )


def usage(path: str | os.PathLike[str], generator: Generator) -> str:
    """Code that draws with a file of `save`; it needs onnxruntime alone."""
    config, side = generator.config, generator.resolution
    fed = [f'"z": np.random.RandomState(0).randn(4, 1, {config.z_dim})']
    if config.label_size:
        size = config.label_size
        fed.append(f'"labels": np.eye({size})[np.arange(4) % {size}][:, None]')
    if generator.truncation_mean is not None:
        fed.append('"psi": 0.7')
    if config.use_styles:
        fed.append(f'"move": np.zeros((1, {config.num_ws}, {config.w_dim}))')
    if config.use_noise:
        fed.append('"noise": 1')
    return "\n".join(
        [
            "import numpy as np, onnxruntime",
            f"session = onnxruntime.InferenceSession({str(path)!r})",
            "inputs = {",
            *(f"    {line}," for line in fed),
            "}",
            'inputs = {name: np.asarray(x, "float32") for name, x in inputs.items()}',
            "(images,) = session.run(None, inputs)"
            f"  # float32 [4, {side}, {side}, {config.num_channels}], -1 to 1",
        ]
    )


def check(
    path: str | os.PathLike[str], generator: Generator, *, cutoff: int | None = 8
) -> float:
    """Largest difference of two images drawn by a file of `save` and its generator.

    With another z for each layer, truncated, moved, and with half of the noise. Raises
    UserError beyond `TOLERANCE`.
    """
    import onnxruntime

    config, count = generator.config, generator.config.num_ws
    random = np.random.RandomState(0)
    z = random.randn(2, count, config.z_dim).astype(np.float32)
    inputs = {"z": z}
    labels = None
    if config.label_size:
        labels = np.eye(config.label_size, dtype="f")[np.arange(2) % config.label_size]
        inputs["labels"] = labels = np.repeat(labels[:, None], count, axis=1)
        labels = jnp.asarray(labels.reshape(2 * count, -1))
    if generator.truncation_mean is not None:
        inputs["psi"] = np.array(0.7, np.float32)
    if config.use_styles:
        moves = 0.1 * random.randn(1, count, config.w_dim)
        inputs["move"] = moves.astype(np.float32)
    if config.use_noise:
        inputs["noise"] = np.array(0.5, np.float32)

    @jax.jit
    def draw(generator: Generator) -> jax.Array:
        rows = generator.map(jnp.asarray(z.reshape(2 * count, -1)), labels)
        ws = rows[:, 0].reshape(2, count, -1)
        if generator.truncation_mean is not None:
            ws = truncate(ws, generator.truncation_mean, 0.7, cutoff)
        noise = tuple(0.5 * image for image in generator.noise)
        return generator.synthesize(ws + inputs.get("move", 0), noise)

    with jax.default_matmul_precision("highest"):
        expected = np.asarray(draw(generator.in_float32()))
    session = onnxruntime.InferenceSession(
        os.fspath(path), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, inputs)
    scale = max(1.0, float(np.abs(expected).max()))
    difference = float(np.abs(found - expected).max()) / scale
    if not difference <= TOLERANCE:  # nan is not
        raise UserError(
            f"read back, the images of {path} differ by {difference:.2g} from the "
            "network's"
        )
    return difference
