"""Pretrained networks shipped with the package, by name."""

from pathlib import Path

from stylegan_jax.data.config import DataConfig

FOLDER = Path(__file__).parents[1] / "pretrained"
# Training data by network; portraits as in configs/portraits32.py.
DATA = {"portraits": DataConfig(name="portraits", portraits_size=50_000)}
# Of files for a network, and of the one that compares images (features/included.py).
_BESIDE = ("_directions", "_encoder", "perceptual")


def names() -> tuple[str, ...]:
    """Names of all of them."""
    stems = sorted(path.stem for path in FOLDER.glob("*.safetensors"))
    return tuple(stem for stem in stems if not stem.endswith(_BESIDE))


def network(name: str) -> Path | None:
    """File of a network; None for an unknown name."""
    return FOLDER / f"{name}.safetensors" if name in names() else None
