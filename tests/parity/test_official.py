"""Agreement with the official TensorFlow implementation, number by number.

Each reference is a pickle `(G, D, Gs)` with seeded random variables, and an `.npz`
with what the official code computes from them on a CPU in float32: images at several
levels of detail and truncations, scores, losses, the R1 penalty, and the norm of the
gradient of every variable. The smallest pair lies in `tests/data/official`.

The official networks take and give images enlarged to the final resolution; ours work
at the active one, so enlarged images are compared through one pixel of each block.
"""

import functools
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from stylegan_jax.interop import foreign, stylegan_tf, unpickle
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.ops import latents

# Largest difference over the standard deviation of the reference images.
IMAGE_TOLERANCE = 1e-4
# Largest difference over the largest value of the batch. (Single scores may be as
# good as zero, the sum of terms that cancel.)
SCORE_TOLERANCE = 1e-4
# Relative difference.
GRADIENT_TOLERANCE = 1e-3

R1_GAMMA = 10.0
TRUNCATIONS = {"psi1": (1.0, None), "psi0.7cut8": (0.7, 8), "psi-0.5all": (-0.5, None)}
HERE = Path(__file__).parents[1] / "data" / "official"
LARGER = [
    "stylegan_res32",
    "stylegan_res256",
    "ablation_b_traditional_input",
    "ablation_d_no_noise",
    "progan_res32",
]
REFERENCES = [
    "stylegan_res16_labels5_gray",
    *(pytest.param(name, marks=pytest.mark.thorough) for name in LARGER),
]
pytestmark = pytest.mark.optimised

Reference = dict[str, np.ndarray]


@pytest.fixture(scope="module", params=REFERENCES)
def pickle_path(request: pytest.FixtureRequest) -> Path:
    """The pickle of one reference; skips where the large ones are absent."""
    if (HERE / f"{request.param}.pkl").exists():
        return HERE / f"{request.param}.pkl"
    shared = request.getfixturevalue("shared_dir")
    path = shared / "reference" / "official" / f"{request.param}.pkl"
    if not path.exists():
        pytest.skip(f"no {path}")
    return path


@functools.cache
def reference(path: Path) -> Reference:
    """The official numbers; images as NHWC."""
    with np.load(path.with_suffix(".npz")) as file:
        arrays = {key: file[key] for key in file.files}
    return {
        key: array.transpose(0, 2, 3, 1) if array.ndim == 4 else array
        for key, array in arrays.items()
    }


@functools.cache
def networks(path: Path) -> tuple[Any, Discriminator, dict[str, Any]]:
    """Our generator, discriminator and the latter's parameters."""
    pickled = unpickle.read_networks(path)["D"]
    found = stylegan_tf.discriminator_from_pickle(pickled)
    generator = stylegan_tf.load_bundle(path, "ema").generator
    return generator, Discriminator(found.config), found.params


def levels(expected: Reference) -> list[str]:
    """The levels of detail stored, such as "lod0.3"."""
    return [key.split("/")[0] for key in expected if key.endswith("/D(fake)")]


def at_level(level: str, final: int) -> tuple[int, jax.Array | None]:
    """The resolution and fade-in of a level of detail."""
    lod = float(level.removeprefix("lod"))
    alpha = 1 - lod % 1 if lod % 1 else None
    resolution = final >> math.floor(lod)
    return resolution, None if alpha is None else jnp.float32(alpha)


def truncated_images(generator: Any, z: Any, labels: Any, count: int) -> jax.Array:
    """Images under the first `count` truncations, stacked along the batch."""
    ws = generator.map(z, labels)
    if generator.w_avg is not None:
        ws = jnp.concatenate(
            [
                latents.truncate(ws, generator.w_avg, psi, cutoff)
                for psi, cutoff in list(TRUNCATIONS.values())[:count]
            ]
        )
    return generator.synthesize(ws)


@functools.cache
def outputs(path: Path) -> dict[str, np.ndarray]:
    """Our images and scores under the names of the reference."""
    expected = reference(path)
    generator, discriminator, d_params = networks(path)
    final = generator.config.resolution
    labels = jnp.asarray(expected["labels"]) if generator.config.label_size else None
    draw = jax.jit(truncated_images, static_argnames="count")
    score = jax.jit(discriminator.apply)
    found: dict[str, np.ndarray] = {}
    if generator.w_avg is not None:
        ws = jax.jit(generator.map)(expected["z"], labels)
        found["w"] = np.asarray(ws[:, 0])
    for level in levels(expected):
        resolution, alpha = at_level(level, final)
        grown = generator.replace(resolution=resolution, alpha=alpha)
        names = ["out"] if generator.w_avg is None else list(TRUNCATIONS)
        images = draw(grown, expected["z"], labels, count=len(names))
        parts = np.split(np.asarray(images), len(names))
        for name, part in zip(names, parts, strict=True):
            found[f"{level}/{name}"] = part
        reals = expected[f"{level}/reals"]
        block = reals.shape[1] // resolution
        inputs = {"fake": expected[f"{level}/{names[0]}"]}
        inputs["real"] = reals[:, ::block, ::block]
        for name, array in inputs.items():
            logits = score({"params": d_params}, array, labels, alpha=alpha)
            found[f"{level}/D({name})"] = np.asarray(logits)[:, None]
    return found


@functools.cache
def losses(path: Path) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Our losses, and gradient norms, under the names of the reference."""
    expected = reference(path)
    generator, discriminator, d_params = networks(path)
    z, reals = jnp.asarray(expected["z"]), jnp.asarray(expected["lod0/reals"])
    fakes = expected["lod0/out" if generator.w_avg is None else "lod0/psi1"]
    labels = jnp.asarray(expected["labels"]) if generator.config.label_size else None

    def score(d_params: Any, images: Any) -> Any:
        return discriminator.apply({"params": d_params}, images, labels)

    def g_loss(g_params: Any) -> jax.Array:
        grown = generator.replace(params=g_params)
        drawn = truncated_images(grown, z, labels, count=1)
        return jnp.mean(jax.nn.softplus(-score(d_params, drawn)))

    def d_loss(d_params: Any) -> tuple[jax.Array, Any]:
        logistic = jnp.mean(
            jax.nn.softplus(score(d_params, fakes))
            + jax.nn.softplus(-score(d_params, reals))
        )
        slopes = jax.grad(lambda images: score(d_params, images).sum())(reals)
        r1 = jnp.sum(slopes**2, axis=(1, 2, 3))
        return logistic + R1_GAMMA / 2 * jnp.mean(r1), (logistic, r1)

    def everything(g_params: Any, d_params: Any) -> Any:
        g_value, g_slopes = jax.value_and_grad(g_loss)(g_params)
        d_value_and_grad = jax.value_and_grad(d_loss, has_aux=True)
        (total, (logistic, r1)), d_slopes = d_value_and_grad(d_params)
        values = {
            "loss/G_logistic_nonsaturating": g_value,
            "loss/D_logistic": logistic,
            "loss/D_logistic_r1_gamma10": total,
            "loss/r1_penalty": r1,
        }
        return values, jax.tree.map(jnp.linalg.norm, (g_slopes, d_slopes))

    run = jax.jit(everything)
    values, (g_norms, d_norms) = run(generator.params, d_params)
    norms: dict[str, float] = {}
    for letter, tree, config, rows in (
        ("G", g_norms, generator.config, stylegan_tf.GENERATOR),
        ("D", d_norms, discriminator.config, stylegan_tf.DISCRIMINATOR),
    ):
        flat: dict[str, Any] = traverse_util.flatten_dict(tree, sep="/")
        for official, (ours, _) in foreign.names(rows, config).items():
            if ours in flat:
                norms[f"gradnorm/{letter}/{official}"] = float(flat[ours])
    return {key: np.asarray(value) for key, value in values.items()}, norms


@pytest.fixture(autouse=True, scope="module")
def full_precision() -> Any:
    """Float32 products everywhere, as on the reference's CPU."""
    with jax.default_matmul_precision("highest"):
        yield


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest entry."""
    assert found.shape == expected.shape
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))


def test_images_agree_at_every_level_of_detail_and_truncation(
    pickle_path: Path,
) -> None:
    expected, found = reference(pickle_path), outputs(pickle_path)
    names = {"w"} | {
        key for key in expected if key.split("/")[-1] in (*TRUNCATIONS, "out")
    }
    assert len(names & found.keys()) >= 1
    for key in sorted(names & expected.keys()):
        assert found[key].shape == expected[key].shape, key
        error = np.max(np.abs(found[key] - expected[key])) / np.std(expected[key])
        assert error < IMAGE_TOLERANCE, (key, error)


def test_scores_of_reals_and_fakes_agree_at_every_level_of_detail(
    pickle_path: Path,
) -> None:
    expected, found = reference(pickle_path), outputs(pickle_path)
    names = [key for key in expected if "/D(" in key]
    assert len(names) == 2 * len(levels(expected)) > 0
    for key in names:
        error = relative(found[key], expected[key])
        assert error < SCORE_TOLERANCE, (key, error)


@pytest.mark.thorough
def test_losses_and_r1_penalties_agree(pickle_path: Path) -> None:
    expected, (found, _) = reference(pickle_path), losses(pickle_path)
    names = [key for key in expected if key.startswith("loss/")]
    assert sorted(names) == sorted(found)
    for key in names:
        error = relative(found[key], expected[key])
        assert error < SCORE_TOLERANCE, (key, error)


@pytest.mark.thorough
def test_the_gradient_norm_of_every_variable_agrees(pickle_path: Path) -> None:
    expected, (_, found) = reference(pickle_path), losses(pickle_path)
    progan = "lod0/out" in expected
    names = [key for key in expected if key.startswith("gradnorm/")]
    checked = set()
    for key in names:
        ours = key.replace("/G_mapping/", "/mapping/")
        ours = ours.replace("/G_synthesis/", "/synthesis/")
        if progan:
            ours = ours.replace("gradnorm/G/", "gradnorm/G/synthesis/")
        checked.add(ours)
        norm = float(expected[key])
        # Layers of other resolutions have no gradient at all, there and here.
        assert abs(found[ours] - norm) <= GRADIENT_TOLERANCE * norm, (
            key,
            found[ours],
            norm,
        )
    assert len(checked) == len(names) > 20
