"""Official networks that tests change and read."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_jax.interop.unpickle import PickledNetwork, read_networks

SAMPLE = (
    Path(__file__).parents[1] / "data" / "official" / "stylegan_res16_labels5_gray.pkl"
)


def sample(name: str = "Gs") -> PickledNetwork:
    return read_networks(SAMPLE)[name]


def network(kind: str, **kwargs: Any) -> PickledNetwork:
    """A network with arguments and no variables."""
    name = "Gs" if kind[0] == "G" else "D"
    return PickledNetwork(name=name, build_func_name=kind, static_kwargs=kwargs)


def changed(source: PickledNetwork, **variables: np.ndarray | None) -> PickledNetwork:
    """A network with variables replaced, added or (None) removed."""
    merged = {**source.variables, **variables}
    kept = {key: value for key, value in merged.items() if value is not None}
    return dataclasses.replace(source, variables=kept)
