"""Recipes of inversion: stages, weights and learning rates of published methods.

docs/inversion.md says what is published and what is inferred.
"""

import dataclasses
from typing import Literal

from stylegan_jax.errors import UserError
from stylegan_jax.inversion.solver import Optimizer, Plan
from stylegan_jax.inversion.spaces import Space, Start
from stylegan_jax.inversion.terms import (
    IMAGE2STYLEGAN2_LAYERS,
    IMAGE2STYLEGAN_LAYERS,
    LEVELS,
)

Perceptual = Literal["preset", "vgg16", "lpips", "own", "none"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """Of the terms, in the units of `inversion.terms`; 0 leaves a term out.

    The defaults are lambda_mse and lambda_p of Image2StyleGAN++.
    """

    pixel: float = 1e-5  # mean squared difference in levels of 0 to 255
    perceptual: float = 1e-5  # VGG16
    style: float = 0.0  # Gram matrices of conv3_3
    lpips: float = 0.0
    own: float = 0.0  # your own features
    stay: float = 0.0  # distance of w from its start
    white: float = 0.0  # correlations of noise


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One minimisation.

    Attributes:
        name: for reports and plots.
        moves: the latent, the noise, or both; what does not move is frozen.
        weights: of the terms.
        layers: indices of ReLUs of VGG16 for the perceptual term.
        plan: optimizer, iterations, when to stop.
        jitter: shifts w at random, less and less, as the projector does.
        renormalise: scales noise to mean 0, mean square 1 after every iteration.
    """

    name: str
    moves: Literal["latent", "noise", "both"]
    weights: Weights = Weights()
    layers: tuple[int, ...] = IMAGE2STYLEGAN2_LAYERS
    plan: Plan = Plan()
    jitter: bool = False
    renormalise: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How images are inverted.

    Attributes:
        stages: one after the other; each begins where the last one ended.
        space: of the latent.
        starts: where the first stage begins; of several, each image keeps its best.
        noise: at the start: drawn for each image, or the network's own.
        seed: of everything random, together with the image.
    """

    stages: tuple[Stage, ...]
    space: Space = "w+"
    starts: tuple[Start, ...] = ("mean",)
    noise: Literal["random", "stored"] = "random"
    seed: int = 0


# Both weights are 1 on images in [0, 1].
_UNIT = 1 / LEVELS**2
_EXPONENTS = {"invert": 1 / 4, "inpaint": 1 / 2, "edit": 4 / 3}


def noise_rate(
    resolution: int, purpose: Literal["invert", "inpaint", "edit"] = "invert"
) -> float:
    """The learning rate of noise, `5 (resolution / 1024)^p`: the papers' 5 at 1024 px.

    The gradient of a noise pixel grows as 1 / resolution^2: at 1024 px it is below
    Adam's epsilon of 1e-8 and steps are small; at 32 px it is far above, and every step
    is of the whole rate. At 32 px:

    - invert, p = 1/4, 2.1: noise may restore all of an image.
    - inpaint, p = 1/2, 0.88: the hole is held meanwhile.
    - edit, p = 4/3, 0.05: the image must stay in the latents, which are edited.

    The exponents are ours, measured in docs/results.md.
    """
    return 5.0 * (resolution / 1024) ** _EXPONENTS[purpose]


def _rounds(count: int) -> tuple[Stage, ...]:
    """Image2StyleGAN++'s alternation: 5000 iterations of w, 3000 of noise."""
    latent = Plan(steps=5000 // count)
    noise = Plan(steps=3000 // count, optimizer=Optimizer(learning_rate=5.0))
    stages: list[Stage] = []
    for turn in [f" {i + 1}" for i in range(count)] if count > 1 else [""]:
        stages.append(Stage(name=f"w{turn}", moves="latent", plan=latent))
        pixels = Weights(perceptual=0.0)
        stages.append(
            Stage(name=f"noise{turn}", moves="noise", weights=pixels, plan=noise)
        )
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
}


def recipe(name: str, resolution: int) -> Recipe:
    """A recipe by name, with `noise_rate` for `resolution`."""
    if name not in RECIPES:
        raise UserError(f"no preset {name}; they are {', '.join(RECIPES)}")

    def change(stage: Stage) -> Stage:
        if stage.moves != "noise":
            return stage
        optimizer = Optimizer(learning_rate=noise_rate(resolution))
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

    def wanted(stage: Stage) -> int | None:
        return noise_steps if stage.moves == "noise" else steps

    def change(stage: Stage) -> Stage:
        number = wanted(stage)
        plan = stage.plan
        plan = plan if number is None else dataclasses.replace(plan, steps=number)
        return dataclasses.replace(stage, plan=plan)

    stages = tuple(change(stage) for stage in recipe.stages if wanted(stage) != 0)
    return dataclasses.replace(recipe, stages=stages)


def with_perceptual(recipe: Recipe, kind: Perceptual) -> Recipe:
    """The recipe with another perceptual term of the same weight.

    LPIPS is of order 1, VGG16's term of the order of levels squared. With "none" a
    stage without pixels compares them instead.
    """
    if kind == "preset":
        return recipe

    def change(stage: Stage) -> Stage:
        old = stage.weights
        strength = max(old.perceptual, old.lpips * _UNIT)
        pixel = old.pixel or 10 * strength
        new = {"perceptual": 0.0, "lpips": 0.0, "own": 0.0, "style": 0.0}
        if kind == "vgg16":
            new["perceptual"], new["style"] = strength, old.style
        elif kind == "lpips":
            new["lpips"] = old.lpips or strength / _UNIT
        elif kind == "own":
            new["own"] = strength
        if kind == "none":
            new["pixel"] = pixel
        return dataclasses.replace(stage, weights=dataclasses.replace(old, **new))

    return dataclasses.replace(recipe, stages=tuple(map(change, recipe.stages)))
