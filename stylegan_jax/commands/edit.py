"""Edits images: `python -m stylegan_jax.edit OPERATION NETWORK ... --outdir DIR`."""

from collections.abc import Sequence

from stylegan_jax.commands import cli
from stylegan_jax.commands import edit_latents as latent
from stylegan_jax.commands import edit_local as local
from stylegan_jax.commands.edit_bench import Command, Workbench
from stylegan_jax.commands.edit_morph import Morph
from stylegan_jax.errors import UserError

OPERATIONS: dict[str, type[Command]] = {
    "reconstruct": latent.Reconstruct,
    "morph": Morph,
    "mix": latent.Mix,
    "scale": latent.Scale,
    "expression": latent.Expression,
    "features": latent.Features,
    "attribute": latent.Attribute,
    "crossover": local.Crossover,
    "inpaint": local.Inpaint,
    "scribble": local.Scribble,
    "local-style": local.LocalStyle,
    "swap-face": local.SwapFace,
    "paste-back": latent.PasteBack,
}


@cli.entry
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    prog = "python -m stylegan_jax.edit"
    chosen = cli.parse_chosen(OPERATIONS, argv, prog=prog, kind="operation")
    if chosen is None:
        return
    _, command = chosen
    bench = Workbench(command)
    command.run(bench)
    if bench.rejected:
        raise UserError(
            f"{len(bench.rejected)} inputs were left out: {'; '.join(bench.rejected)}"
        )
