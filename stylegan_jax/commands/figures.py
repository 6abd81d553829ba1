"""Draws the papers' figures: `python -m stylegan_jax.figures NAME NETWORK ...`.

    python -m stylegan_jax.figures style-mixing ffhq --outdir figures
    python -m stylegan_jax.figures truncation runs/faces --seeds 5,7 --outdir figures
    python -m stylegan_jax.figures all runs/portraits --outdir figures

Writes NAME.png, and NAME.mp4 for films; `all` draws every figure that the network can
have, with the default flags. See docs/figures.md.
"""

import dataclasses
import sys
from collections.abc import Sequence

from stylegan_jax import loading
from stylegan_jax.commands import cli
from stylegan_jax.commands import figure_flags as commands
from stylegan_jax.commands.figure_flags import Figure, Moving
from stylegan_jax.errors import UserError, did_you_mean
from stylegan_jax.figures.studio import Film, Studio
from stylegan_jax.io import video
from stylegan_jax.io.outputs import Outputs, files_named_in
from stylegan_jax.networks.seeds import one_hot

FIGURES: dict[str, type[Figure]] = {
    "uncurated": commands.Uncurated,
    "style-mixing": commands.StyleMixing,
    "truncation": commands.Truncation,
    "noise-layers": commands.NoiseLayers,
    "stochastic-variation": commands.StochasticVariation,
    "layer-effects": commands.LayerEffects,
    "interpolation": commands.Interpolation,
    "arithmetic": commands.Arithmetic,
    "morph": commands.Morph,
    "growing": commands.Growing,
    "scores": commands.Scores,
    "overfitting": commands.Overfitting,
    "nearest": commands.Nearest,
    "reconstruction": commands.Reconstruction,
}
_ALL = "all"


@dataclasses.dataclass(frozen=True, kw_only=True)
class All(Figure):
    """Every figure that the network can have, with the default flags."""


@cli.entry
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    words = sys.argv[1:] if argv is None else list(argv)
    prog = "python -m stylegan_jax.figures"
    if not words or words[0] in ("-h", "--help"):
        _explain(prog)
        return
    name = words[0]
    if name != _ALL and name not in FIGURES:
        hint = did_you_mean(name, FIGURES)
        known = f"they are {', '.join(FIGURES)}, {_ALL}"
        raise UserError(f"no figure {name!r}; {hint or known}")
    kind = All if name == _ALL else FIGURES[name]
    figure = cli.parse(kind, words[1:], prog=f"{prog} {name}")
    outputs = Outputs(figure.outdir, inputs=files_named_in(figure))
    generator = loading.load(figure.network)
    studio = Studio(
        generator,
        label=one_hot(generator.config.label_size, figure.class_index),
        batch_size=figure.batch_size,
        cell=figure.cell,
    )
    if name == _ALL:
        draw_all(figure, studio, outputs)
    else:
        write(figure, studio, outputs, name.replace("-", "_"))


def write(figure: Figure, studio: Studio, outputs: Outputs, name: str) -> None:
    """Writes NAME.png, and NAME.mp4 if the figure moves."""
    if isinstance(figure, Moving):
        figure.check()
    drawn = figure.draw(studio)
    strip = drawn.strip if isinstance(drawn, Film) else drawn
    print(outputs.write_png(f"{name}.png", strip, "sheet"), flush=True)
    if isinstance(drawn, Film) and isinstance(figure, Moving) and figure.film:
        path = outputs.path(f"{name}.mp4")
        frames = commands.bar(path.name, drawn.frames, drawn.count)
        video.write(path, frames, figure.fps)
        print(path, flush=True)


def draw_all(flags: Figure, studio: Studio, outputs: Outputs) -> None:
    """Draws every figure with its default flags; UserError if none can be drawn."""
    shared = {
        field.name: getattr(flags, field.name) for field in dataclasses.fields(Figure)
    }
    drawn = 0
    for name, kind in FIGURES.items():
        try:
            figure = kind(**shared)
            write(figure, studio, outputs, name.replace("-", "_"))
            drawn += 1
        except UserError as error:
            cli.say(f"no {name}: {error}", sys.stderr)
    if not drawn:
        raise UserError("no figure could be drawn")


def _explain(prog: str) -> None:
    print(f"usage: {prog} NAME NETWORK --outdir DIR\n")
    for name, kind in [*FIGURES.items(), (_ALL, All)]:
        doc = (kind.__doc__ or "").strip().splitlines()[0]
        print(f"  {name:<20} {doc}")
    print(f"\n{prog} NAME --help shows its flags.")
