"""The slides of a lecture, as commands on one network."""

import dataclasses
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stylegan_jax.commands import cli
from stylegan_jax.commands.flag_groups import Network
from stylegan_jax.errors import UserError

_SEARCH = "--perceptual none --w-steps 300 --noise-steps 300"
_A, _B, _C = (
    f"{{outdir}}/14_reconstruct/portrait{number}.safetensors"
    for number in (50006, 50010, 50024)
)

# Folders, in the order of docs/lecture.md, and commands without `--outdir`. Photographs
# are built-in portraits, whose codes `reconstruct` leaves for the slides after it.
SLIDES = {
    "samples": "figures uncurated {network} --seeds 0-23",
    "mapping": "figures interpolation {network} --seeds 0-5 --frames 20 --fps 20",
    "arithmetic": "figures arithmetic {network} --a 5,6,9,23 --b 2,3,8,22 "
    "--c 7,13,15,17",
    "layer": "figures layer {network} --seed 5",
    "noise_layers": "figures noise-layers {network}",
    "variation": "figures stochastic-variation {network}",
    "mixing": "figures style-mixing {network}",
    "layer_effects": "figures layer-effects {network}",
    "scaling": "figures style-scaling {network}",
    "truncation": "figures truncation {network} --seeds 91,388,5",
    "smile": "edit attribute {network} seed:0 seed:5 --name smile "
    "--amounts=-4,-2,0,2,4",
    "age": "edit attribute {network} seed:0 seed:5 --name age",
    "inversion": "figures inversion {network} --whole",
    "reconstruct": "edit reconstruct {network} portrait:50006,50010,50024 " + _SEARCH,
    "morph": f"edit morph {{network}} {_A} {_C}",
    "style_transfer": f"edit mix {{network}} --content {_A} --style {_B} --rows style",
    "expression": f"edit expression {{network}} --subject {_A} seed:5 "
    "--neutral portrait:50024:smile=-0.6 --expressive portrait:50024:smile=1 "
    f"--threshold 2 {_SEARCH}",
    "masks": "figures loss-masks {network} --mask face",
    "gram": "figures gram {network}",
    "local_embedding": "figures inversion {network} --mask left",
    "crossover": "edit crossover {network} --inside portrait:50006 "
    f"--outside portrait:50024 --mask left {_SEARCH}",
    "inpainting": "edit inpaint {network} portrait:50006 --mask eyes+nose "
    "--face portraits --perceptual none --noise-steps 300",
    "scribble": f"edit scribble {{network}} --image {_B} --paint hair=#d8b050 "
    f"--face portraits --rows all --stay 0.001 {_SEARCH}",
    "local_style": f"edit local-style {{network}} {_A} --style portrait:50028 "
    f"--mask face --face portraits --style-of colours {_SEARCH}",
    "features": f"edit features {{network}} {_A} --donor {_C} --mask top",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lecture:
    """All slides of docs/lecture.md that need no training, a folder each."""

    network: Network = "portraits"
    outdir: Path  # folder for the slides; made if need be

    def write(self, commands: Mapping[str, Callable[[Sequence[str]], None]]) -> None:
        """Runs the slides by `commands`, and says how long each took."""
        made = 0
        for number, (slide, command) in enumerate(SLIDES.items(), start=1):
            folder = self.outdir / f"{number:02}_{slide}"
            name, *words = shlex.split(command)
            words = [
                word.format(network=self.network, outdir=self.outdir) for word in words
            ]
            start = time.perf_counter()
            try:
                commands[name]([*words, "--outdir", str(folder)])
            except UserError as error:
                cli.say(f"no {slide}: {error}", sys.stderr)
            else:
                made += 1
                print(f"{folder}: {time.perf_counter() - start:.0f} s", flush=True)
        if not made:
            raise UserError("no slide could be made")
