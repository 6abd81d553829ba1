"""Safe reader of pickled networks of NVlabs/stylegan; executes nothing in them.

`pickle_machine` gives plain data, checked here key by key against
`Network.__getstate__`. Source code in the files (`build_module_src`) is dropped unread.

Source of the layout: `dnnlib/tflib/network.py` in NVlabs/stylegan (state versions 3,
and 4 where the StyleGAN2 repository wrote its "config a") and `tfutil.py` in
tkarras/progressive_growing_of_gans (version 2, without components).
"""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io import records
from stylegan_jax.pickles import official_pickle, pickle_machine
from stylegan_jax.pickles.pickle_machine import UnsafePickleError, require, shown

MAX_FILE_BYTES = 1 << 30  # the largest official file, FFHQ at 1024, has 0.3 GB
MAX_TEXT = 1000  # characters of a name or of a string setting
MAX_SETTINGS = 1000  # values in all static_kwargs of one network
MAX_COMPONENTS = 8
STATE_VERSIONS = (2, 3, 4)

_WANTED = (
    "; what can be read are pickles of NVlabs/stylegan (and of the ProGAN of tkarras), "
    "such as karras2019stylegan-ffhq-1024x1024.pkl"
)

# First bytes of other files.
_MAGIC = {
    b"PK\x03\x04": "a zip archive (a PyTorch checkpoint or an .npz)",
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.": "a PyTorch checkpoint",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x89HDF": "an HDF5 file (a Keras or flaxmodels checkpoint)",
    b"\x1f\x8b": "a gzip archive: unpack it first",
    b"BZh": "a bzip2 archive: unpack it first",
    b"\xfd7zXZ": "an xz archive: unpack it first",
    b"7z\xbc\xaf": "a 7-Zip archive: unpack it first",
    b"<": "a web page: the download failed, often for a quota; fetch it again",
    b"\x93NUMPY": "a NumPy array file",
    b"{": "a JSON file: give the folder that it lies in, if that is a run",
    b"version https://git-lfs": "a Git LFS pointer: the file itself was not fetched",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PickledNetwork:
    """State of one pickled `Network`, without its source code."""

    name: str  # "Gs", "G_mapping", ...
    build_func_name: str  # "G_style", "D_basic", ...
    version: int = 3  # of the state: 2 ProGAN, 3 StyleGAN, 4 written by StyleGAN2
    class_path: str = ""  # "dnnlib.tflib.network.Network" or "tfutil.Network"
    # What was given; the rest are defaults.
    static_kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    components: dict[str, "PickledNetwork"] = dataclasses.field(default_factory=dict)
    # By local name, in the official layout.
    variables: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


def read_networks(path: str | os.PathLike[str]) -> dict[str, PickledNetwork]:
    """Networks of a pickle of `(G, D, Gs)` or of one `Network`; executes nothing.

    Keys are "G", "D" and "Gs", or the single network's name; arrays are read-only.
    Raises UnsafePickleError for a class or operation that is not on the list, and
    UserError for anything damaged, too large, or else.
    """
    size = Path(path).stat().st_size
    with pickle_machine.reading(path, _WANTED):
        if size > MAX_FILE_BYTES:
            raise UserError(f"{size} bytes, more than the {MAX_FILE_BYTES} allowed")
        data = Path(path).read_bytes()
        if not data:
            raise UserError("the file is empty")
        if kind := kind_of(data[:64]):
            raise UserError(f"this is {kind}")
        return _networks(
            pickle_machine.run(data, official_pickle.DIALECT, budget=2 * len(data))
        )


def is_official_pickle(path: str | os.PathLike[str]) -> bool:
    """Whether the first kilobyte is that of an official pickle."""
    try:
        with open(path, "rb") as file:
            head = file.read(1024)
    except OSError:
        return False
    modules = [module.encode() for module, _ in official_pickle.NETWORK_CLASSES]
    return head[:1] == b"\x80" and any(module in head for module in modules)


def kind_of(head: bytes) -> str | None:
    """Kind of file by its first bytes, for messages; None if unknown."""
    head = head[:64].lstrip()
    return next(
        (kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None
    )


def _networks(value: object) -> dict[str, PickledNetwork]:
    if isinstance(value, official_pickle.Network):
        network = _checked(value, depth=0)
        return {network.name: network}
    if isinstance(value, tuple) and len(value) == 3:
        names = ("G", "D", "Gs")
        return {n: _checked(v, depth=0) for n, v in zip(names, value, strict=True)}
    size = f" of {len(value)}" if isinstance(value, tuple | list | dict) else ""
    raise UserError(
        f"holds a {type(value).__name__}{size}, not the tuple (G, D, Gs) or one network"
    )


_STATE = {
    "version": int,
    "name": str,
    "static_kwargs": {},
    "components": {},
    "build_module_src": str,
    "build_func_name": str,
    "variables": list,
}


def _checked(value: object, *, depth: int) -> PickledNetwork:
    """Network of a stand-in; `depth` bounds nested components."""
    if not isinstance(value, official_pickle.Network) or value.state is None:
        raise UserError("a network without a state")
    require(depth <= 2, "networks nested too deeply")
    state = {"components": {}, **value.state}
    records.check(state, _STATE, "a network state")
    for key in state.keys() - _STATE.keys():
        raise UserError(f"a network state with an unknown {shown(key)}")
    if state["version"] not in STATE_VERSIONS:
        raise UserError(
            f"a network state of version {state['version']}, not one of "
            f"{', '.join(map(str, STATE_VERSIONS))}"
        )
    for key in ("name", "build_func_name"):
        require(len(state[key]) <= MAX_TEXT, f"a network whose {key} is too long")
    require(len(state["components"]) <= MAX_COMPONENTS, "too many components")
    return PickledNetwork(
        name=state["name"],
        build_func_name=state["build_func_name"],
        version=state["version"],
        class_path=value.class_path,
        static_kwargs=_plain(state["static_kwargs"], [MAX_SETTINGS], depth=0),
        components={
            name: _checked(component, depth=depth + 1)
            for name, component in state["components"].items()
        },
        variables=_variables(state["variables"]),
    )


def _variables(pairs: list[Any]) -> dict[str, np.ndarray]:
    variables: dict[str, np.ndarray] = {}
    for pair in pairs:
        match pair:
            case (str(name), official_pickle.Array(np.ndarray() as array)):
                require(len(name) <= MAX_TEXT, "a variable whose name is too long")
                require(name not in variables, f"the variable {shown(name)} twice")
                variables[name] = array
            case _:
                raise UserError("a variable that is not a name with an array")
    return variables


def _plain(value: Any, budget: list[int], *, depth: int) -> Any:
    """A setting as plain data; `budget` is shared by all of a network's."""
    budget[0] -= 1
    require(budget[0] >= 0 and depth <= 4, "too many or too deeply nested settings")
    match value:
        case None | bool() | int() | float():
            return value
        case str() if len(value) <= MAX_TEXT:
            return value
        case list() | tuple():
            return type(value)(_plain(v, budget, depth=depth + 1) for v in value)
        case dict():
            return {k: _plain(v, budget, depth=depth + 1) for k, v in value.items()}
        case official_pickle.Array(np.ndarray() as array) if array.ndim == 0:
            return array.item()
    raise UnsafePickleError("a setting that is no plain value; refused")
