"""Recipes of inversion: stages, weights, learning rates, terms and feature networks.

docs/inversion.md says what is published and what is inferred.
"""

import dataclasses
import logging
import os
from functools import partial
from typing import Literal, TypeVar

from jax import Array

from stylegan_jax.errors import UserError
from stylegan_jax.features import included, lpips, vgg16
from stylegan_jax.features import weights as weight_files
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.inversion import terms
from stylegan_jax.inversion.code import Code
from stylegan_jax.inversion.feature_nets import FeatureNets, Perceptual
from stylegan_jax.inversion.solver import Optimizer, Plan
from stylegan_jax.inversion.spaces import Space, Start, Statistics
from stylegan_jax.inversion.terms import (
    IMAGE2STYLEGAN2_LAYERS,
    IMAGE2STYLEGAN_LAYERS,
    LEVELS,
    Term,
)

T = TypeVar("T", "Stage", "Tuning")
_Path = str | os.PathLike[str] | None
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights of the terms, in units of `inversion.terms`; 0 leaves a term out.

    The defaults are lambda_mse and lambda_p of Image2StyleGAN++.
    """

    pixel: float = 1e-5  # mean squared difference in levels of 0 to 255
    perceptual: float = 1e-5  # VGG16
    style: float = 0.0  # Gram matrices of conv3_3
    lpips: float = 0.0
    included: float = 0.0  # the network that comes with the package
    own: float = 0.0  # your own features
    stay: float = 0.0  # distance of w from its start
    white: float = 0.0  # correlations of noise
    near: float = 0.0  # squared deviation of w from its mean (`spaces.deviation`)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One search of a recipe: what moves, and the terms that are minimised."""

    name: str  # for reports and plots
    moves: Literal["latent", "noise", "both"]  # what does not move is frozen
    weights: Weights = Weights()
    layers: tuple[int, ...] = IMAGE2STYLEGAN2_LAYERS  # ReLUs of the perceptual term
    plan: Plan = Plan()
    jitter: bool = False  # shifts w at random, less and less, as the projector does
    renormalise: bool = False  # noise to mean 0, mean square 1 after every iteration


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tuning:
    """Pivotal tuning: the network's weights, around a code that stays.

    The learning rate and the numbers of iterations are of Roich et al. 2021.
    """

    steps: int = 350
    learning_rate: float = 3e-4
    weights: Weights = Weights()  # of images
    # Of the images of samples near the code, against those of the untouched network,
    # times `weights`.
    locality: float = 0.1
    reach: float = 1.0  # their distance from the code, in the spread of w


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Searches of an inversion, and where they start."""

    stages: tuple[Stage, ...]  # each begins where the last one ended
    space: Space = "w+"  # of the latent
    starts: tuple[Start, ...] = ("mean",)  # of several, each image keeps its best
    noise: Literal["random", "stored"] = "random"  # at the start
    seed: int = 0  # of everything random, together with the image
    tuning: Tuning | None = None  # of the network, after the stages

    @property
    def weights(self) -> tuple[Weights, ...]:
        """Those of all stages, and of the tuning."""
        last = (self.tuning.weights,) if self.tuning else ()
        return (*(stage.weights for stage in self.stages), *last)


# Of `Weights.near` in the preset for editing: docs/inversion.md has its curve.
NEAR = 2e-4
# Both weights are 1 on images in [0, 1].
_UNIT = 1 / LEVELS**2
_WITH_PIXELS = ("included", "none")  # where the projector compares them too
_EXPONENTS = {"invert": 1 / 4, "inpaint": 1 / 2, "edit": 4 / 3}


def noise_rate(
    resolution: int, purpose: Literal["invert", "inpaint", "edit"] = "invert"
) -> float:
    """The learning rate of noise, `5 (resolution / 1024)^p`: the papers' 5 at 1024 px.

    The gradient of a noise pixel grows as 1 / resolution^2: at 1024 px it is below
    Adam's epsilon of 1e-8 and steps are small; at 32 px it is far above, and every step
    is of the whole rate. At 32 px it is 2.1 to invert (p = 1/4: noise may restore all
    of an image), 0.88 to inpaint (1/2: the hole is held meanwhile), and 0.05 to edit
    (4/3: the image must stay in the latents). The exponents are ours, measured in
    docs/results.md.
    """
    return 5.0 * (resolution / 1024) ** _EXPONENTS[purpose]


def _rounds(count: int) -> tuple[Stage, ...]:
    """Image2StyleGAN++'s alternation: 5000 iterations of w, 3000 of noise."""
    latent = Plan(steps=5000 // count)
    noise = Plan(steps=3000 // count, optimizer=Optimizer(learning_rate=5.0))
    pixels = Weights(perceptual=0.0)
    stages: list[Stage] = []
    for turn in [f" {i + 1}" for i in range(count)] if count > 1 else [""]:
        stages += [
            Stage(name=f"w{turn}", moves="latent", plan=latent),
            Stage(name=f"noise{turn}", moves="noise", weights=pixels, plan=noise),
        ]
    return tuple(stages)


RECIPES: dict[str, Recipe] = {
    "image2stylegan": Recipe(
        stages=(
            Stage(
                name="w",
                moves="latent",
                weights=Weights(pixel=_UNIT, perceptual=_UNIT),
                layers=IMAGE2STYLEGAN_LAYERS,
                plan=Plan(steps=5000),
            ),
        ),
    ),
    "image2stylegan++": Recipe(stages=_rounds(1)),
    "image2stylegan++-alternating": Recipe(stages=_rounds(5)),
    # For photographs to edit: latents where edits work, and little in the noise.
    "editing": Recipe(
        stages=(
            Stage(
                name="w",
                moves="latent",
                weights=Weights(near=NEAR),
                plan=Plan(steps=500, optimizer=Optimizer(learning_rate=0.05)),
            ),
            Stage(
                name="noise",
                moves="noise",
                weights=Weights(perceptual=0.0),
                plan=Plan(steps=500),
            ),
        ),
        noise="stored",
    ),
    "stylegan2-projector": Recipe(
        stages=(
            Stage(
                name="projection",
                moves="both",
                weights=Weights(pixel=0.0, perceptual=0.0, lpips=1.0, white=1e5),
                plan=Plan(
                    steps=1000,
                    optimizer=Optimizer(learning_rate=0.1, warmup=0.05, cooldown=0.25),
                    keep="last",
                ),
                jitter=True,
                renormalise=True,
            ),
        ),
        space="w",
    ),
    "pivotal": Recipe(
        stages=(
            Stage(
                name="w",
                moves="latent",
                weights=Weights(near=NEAR),  # where directions work
                plan=Plan(steps=500, optimizer=Optimizer(learning_rate=0.05)),
            ),
        ),
        space="w",
        noise="stored",
        tuning=Tuning(),
    ),
    # The encoder alone; with `with_steps` few iterations from it, which end slowly.
    "instant": Recipe(
        stages=(
            Stage(
                name="estimate",
                moves="latent",
                weights=Weights(perceptual=0.0),
                # Few iterations come about 1 dB nearer than with Adam.
                plan=Plan(steps=0, optimizer=Optimizer(name="lbfgs")),
            ),
        ),
        starts=("encoder",),
        noise="stored",
    ),
}


def recipe(name: str, resolution: int) -> Recipe:
    """A recipe by name, with `noise_rate` for `resolution`; UserError if unknown."""
    if name not in RECIPES:
        raise UserError(f"no preset {name}; they are {', '.join(RECIPES)}")

    def change(stage: Stage) -> Stage:
        if stage.moves != "noise":
            return stage
        purpose = "edit" if name == "editing" else "invert"
        optimizer = Optimizer(learning_rate=noise_rate(resolution, purpose))
        plan = dataclasses.replace(stage.plan, optimizer=optimizer)
        return dataclasses.replace(stage, plan=plan)

    found = RECIPES[name]
    return dataclasses.replace(found, stages=tuple(map(change, found.stages)))


def with_steps(
    recipe: Recipe, steps: int | None = None, noise_steps: int | None = None
) -> Recipe:
    """The recipe with other numbers of iterations; None keeps them, 0 drops stages.

    `noise_steps` are those of stages that move noise only.
    """

    stages = []
    for stage in recipe.stages:
        number = noise_steps if stage.moves == "noise" else steps
        if number:
            plan = dataclasses.replace(stage.plan, steps=number)
            stage = dataclasses.replace(stage, plan=plan)
        if number != 0:
            stages.append(stage)
    return dataclasses.replace(recipe, stages=tuple(stages))


def with_perceptual(
    recipe: Recipe,
    kind: Perceptual,
    *,
    vgg16_path: _Path = None,
    lpips_path: _Path = None,
) -> Recipe:
    """The recipe with another perceptual term of the same weight.

    LPIPS is of order 1, VGG16's term of the order of levels squared; the included
    network's has `terms.INCLUDED_WEIGHT` beside VGG16's 1e-5. "preset" is the recipe
    itself where the weights that it needs are given by paths or have been fetched,
    otherwise "included", which is logged. With "none" or "included" a stage without
    pixels compares them too.
    """
    if kind == "preset":
        if _on_this_machine(recipe, vgg16_path, lpips_path):
            return recipe
        _log.warning(
            "compared by pixels and the features of the included network, since "
            "VGG16's weights are not on this machine: `perceptual` vgg16 fetches them "
            "(528 MB), `vgg16` FILE names a copy"
        )
        kind = "included"

    def change(old: Weights) -> Weights:
        strength = max(old.perceptual, old.lpips * _UNIT)
        return dataclasses.replace(
            old,
            pixel=old.pixel or (10 * strength if kind in _WITH_PIXELS else 0.0),
            perceptual=strength if kind == "vgg16" else 0.0,
            style=old.style if kind == "vgg16" else 0.0,
            lpips=(old.lpips or strength / _UNIT) if kind == "lpips" else 0.0,
            included=(
                terms.INCLUDED_WEIGHT * strength / Weights.perceptual
                if kind == "included"
                else 0.0
            ),
            own=strength if kind == "own" else 0.0,
        )

    def changed(part: T) -> T:
        return dataclasses.replace(part, weights=change(part.weights))

    tuning = recipe.tuning and changed(recipe.tuning)
    stages = tuple(map(changed, recipe.stages))
    return dataclasses.replace(recipe, stages=stages, tuning=tuning)


def _on_this_machine(recipe: Recipe, vgg16_path: _Path, lpips_path: _Path) -> bool:
    """Whether the weights that a recipe needs are given or have been fetched."""
    wanted = recipe.weights
    of_lpips = any(x.lpips for x in wanted)
    looks = of_lpips or any(x.perceptual or x.style for x in wanted)
    needed = [(weight_files.VGG16, vgg16_path)] if looks else []
    needed += [(weight_files.LPIPS["vgg"], lpips_path)] if of_lpips else []
    return all(path or weight_files.cached(source) for source, path in needed)


# --- Objectives ----------------------------------------------------------------------


def load_features(
    recipe: Recipe,
    *,
    vgg16_path: _Path = None,
    lpips_path: _Path = None,
    own: FrozenNetwork | None = None,
) -> FeatureNets:
    """Loads only the networks that a recipe has weights for.

    Paths are of torchvision's VGG16 and LPIPS's linear layers, which are fetched by
    default; `own` is a custom network. UserError if weights cannot be had.
    """
    wanted = {
        name: any(getattr(weights, name) for weights in recipe.weights)
        for name in ("perceptual", "style", "lpips", "included", "own")
    }
    if wanted["own"] and own is None:
        raise UserError("`perceptual` own needs `features` FILE, a network of your own")
    looks = wanted["perceptual"] or wanted["style"]
    try:
        return FeatureNets(
            vgg16.load(vgg16_path) if looks else None,
            lpips.load(trunk=vgg16_path, linear=lpips_path)
            if wanted["lpips"]
            else None,
            included.load() if wanted["included"] else None,
            own if wanted["own"] else None,
        )
    except UserError as error:
        raise UserError(
            f"{error}; or invert without it: `perceptual` included (the network that "
            "comes with the package), `perceptual` none (pixels only), or `perceptual` "
            "own `features` FILE"
        ) from error


def make_terms(
    stage: Stage,
    targets: Array,
    start: Code,
    features: FeatureNets,
    statistics: Statistics | None = None,
) -> tuple[Term, ...]:
    """The weighted terms of a stage that begins at `start`, for targets in [-1, 1].

    `statistics` are of the network's w, for `Weights.near`.
    """
    weights = stage.weights
    made: list[Term] = []
    if weights.pixel:
        made.append(terms.PixelTerm(targets, weight=weights.pixel))
    for field, network, make in (
        ("perceptual", "vgg16", partial(terms.perceptual_term, layers=stage.layers)),
        ("style", "vgg16", terms.style_term),
        ("lpips", "lpips", terms.lpips_term),
        ("included", "included", terms.included_term),
        ("own", "own", terms.feature_term),
    ):
        weight, loaded = getattr(weights, field), getattr(features, network)
        if weight and loaded is None:
            raise UserError(f"stage {stage.name} needs the network {network}")
        if weight:
            made.append(make(targets, loaded, weight=weight))
    if not made:
        raise UserError(f"stage {stage.name} has no weight on the image; give it one")
    if weights.stay:
        made.append(terms.StayTerm(start.ws, weights.stay))
    if weights.near:
        if statistics is None:
            raise UserError(
                f"stage {stage.name} has a weight `near`, which is of searches for w; "
                "leave it 0 here"
            )
        made.append(terms.NearTerm(statistics, weights.near))
    if weights.white:
        made.append(terms.NoiseWhiteTerm(weights.white))
    return tuple(made)
