"""Draws the papers' figures: `python -m stylegan_jax.figures NAME NETWORK ...`."""

import dataclasses
import sys
from collections.abc import Sequence

from stylegan_jax import loading
from stylegan_jax.commands import cli, edit
from stylegan_jax.commands import figure_flags as commands
from stylegan_jax.commands import figure_inversion_flags as of_inversion
from stylegan_jax.commands import figure_run_flags as of_runs
from stylegan_jax.commands.figure_flags import Figure, Moving
from stylegan_jax.commands.figure_lecture import Lecture
from stylegan_jax.commands.flag_groups import require_at_least
from stylegan_jax.errors import UserError
from stylegan_jax.figures.studio import Film, Studio
from stylegan_jax.io import video
from stylegan_jax.io.outputs import Outputs, files_named_in
from stylegan_jax.io.terminal import progress_bar
from stylegan_jax.networks.seeds import one_hot

FIGURES: dict[str, type[Figure]] = {
    "uncurated": commands.Uncurated,
    "style-mixing": commands.StyleMixing,
    "style-scaling": commands.StyleScaling,
    "truncation": commands.Truncation,
    "noise-layers": commands.NoiseLayers,
    "stochastic-variation": commands.StochasticVariation,
    "layer-effects": commands.LayerEffects,
    "layer": commands.Layer,
    "interpolation": commands.Interpolation,
    "arithmetic": commands.Arithmetic,
    "morph": commands.Morph,
    "family": of_runs.Family,
    "growing": commands.Growing,
    "growing-speed": of_runs.GrowingSpeed,
    "scores": commands.Scores,
    "overfitting": commands.Overfitting,
    "theory": of_runs.Theory,
    "modes": of_runs.Modes,
    "disentanglement": of_runs.Disentanglement,
    "nearest": commands.Nearest,
    "reconstruction": of_inversion.Reconstruction,
    "inversion": of_inversion.Inversion,
    "loss-masks": of_inversion.LossMasks,
    "gram": of_inversion.Gram,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class All(Figure):
    """Every figure that the network can have but `nearest`, with the default flags."""


@cli.entry
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    prog = "python -m stylegan_jax.figures"
    many = {"all": All, "lecture": Lecture}
    chosen = cli.parse_chosen(FIGURES | many, argv, prog=prog, kind="figure")
    if chosen is None:
        return
    name, flags = chosen
    if isinstance(flags, Lecture):
        flags.write({"figures": main, "edit": edit.main})
        return
    outputs = Outputs(flags.outdir, inputs=files_named_in(flags))
    generator = loading.load(flags.network)
    size, index = generator.config.label_size, flags.class_index
    draws = index is not None or flags.draws_samples
    studio = Studio(
        generator,
        label=one_hot(size, index) if draws else None,
        batch_size=flags.batch_size,
        cell=flags.cell,
    )
    if name != "all":
        write(flags, studio, outputs, name)
        return
    shared = {x.name: getattr(flags, x.name) for x in dataclasses.fields(Figure)}
    drawn = 0
    for name, kind in FIGURES.items():
        if kind is commands.Nearest:  # looks through all of the data
            continue
        try:
            write(kind(**shared), studio, outputs, name)
            drawn += 1
        except UserError as error:
            cli.say(f"no {name}: {error}", sys.stderr)
    if not drawn:
        raise UserError("no figure could be drawn")


def write(figure: Figure, studio: Studio, outputs: Outputs, name: str) -> None:
    """Writes NAME.png, and NAME.mp4 if the figure moves."""
    least = ("columns", "count", "paths", "frames", "hold", "fps")
    require_at_least(figure, donor=0, samples=2, **dict.fromkeys(least, 1))
    name, moving = name.replace("-", "_"), None
    if isinstance(figure, Moving) and figure.film:
        moving = figure
        video.load_av()
    drawn = figure.draw(studio)
    strip = drawn.strip if isinstance(drawn, Film) else drawn
    print(outputs.write_png(f"{name}.png", strip, "sheet"), flush=True)
    if moving and isinstance(drawn, Film):
        path = outputs.path(f"{name}.mp4")
        with progress_bar() as bar:
            frames = bar.track(drawn.frames, drawn.count, description=path.name)
            video.write(path, frames, moving.fps)
        print(path, flush=True)
