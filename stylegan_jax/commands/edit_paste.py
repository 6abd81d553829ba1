"""The operation of `stylegan_jax.edit` that puts edits back into a photograph."""

import dataclasses
from pathlib import Path

from stylegan_jax.commands.edit_flags import Command, Inputs
from stylegan_jax.editing.paste import paste_edit
from stylegan_jax.editing.workbench import Workbench
from stylegan_jax.errors import UserError
from stylegan_jax.inversion import code as codes


@dataclasses.dataclass(frozen=True, kw_only=True)
class PasteBack(Command):
    """Edits of a photograph, back in it: what changed is laid over its own pixels."""

    inputs: Inputs  # codes that edits wrote
    inverted: Path  # the code that `stylegan_jax.invert` wrote of the photograph
    photograph: Path | None = None  # by default where invert read it
    whole: bool = False  # lays the whole picture over it, not what changed
    # Width of the fade at the edges, as a share of the side; from 0 to 0.5.
    feather_edges: float = 0.1

    def run(self, bench: Workbench) -> None:
        """Does it."""
        inverted = codes.load(self.inverted, bench.generator)
        for item in bench.items(self.inputs):
            if item.code is None:
                raise UserError(
                    f"{item.name} is a picture; give the .safetensors of an edit"
                )
            pasted = paste_edit(
                bench.generator,
                item.code,
                inverted,
                photograph=self.photograph,
                whole=self.whole,
                feather=self.feather_edges,
            )
            print(bench.outputs.write_png(f"{item.name}_pasted.png", pasted))
