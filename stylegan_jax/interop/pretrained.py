"""Networks that come with the package, called by name."""

from pathlib import Path

from stylegan_jax.data.config import DataConfig

FOLDER = Path(__file__).parents[1] / "pretrained"
# What they were trained on; portraits as configs/portraits32.py has it.
DATA = {"portraits": DataConfig(name="portraits", portraits_size=50_000)}
_DIRECTIONS = "_directions"


def names() -> tuple[str, ...]:
    """Of all of them."""
    stems = sorted(path.stem for path in FOLDER.glob("*.safetensors"))
    return tuple(stem for stem in stems if not stem.endswith(_DIRECTIONS))


def network(name: str) -> Path | None:
    """The file of a network; None if there is none of this name."""
    return FOLDER / f"{name}.safetensors" if name in names() else None
