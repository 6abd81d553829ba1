"""Safe reader of pickled networks of NVlabs/stylegan; executes nothing in them.

Source code in the files (`build_module_src`) is dropped unread.
"""

import os
from pathlib import Path

from stylegan_jax.errors import UserError
from stylegan_jax.pickles import official_pickle, pickle_machine
from stylegan_jax.pickles.official_pickle import PickledNetwork

MAX_FILE_BYTES = 1 << 30  # the largest official file, FFHQ at 1024, has 0.3 GB

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
    values = value if isinstance(value, tuple) else (value,)
    found = [x for x in values if isinstance(x, PickledNetwork) and x.version]
    if len(found) not in (1, 3) or len(found) != len(values):
        size = f" of {len(value)}" if isinstance(value, tuple | list | dict) else ""
        raise UserError(
            f"holds a {type(value).__name__}{size}, not the tuple (G, D, Gs) or one "
            "network"
        )
    names = ("G", "D", "Gs") if len(found) == 3 else (found[0].name,)
    return dict(zip(names, found, strict=True))
