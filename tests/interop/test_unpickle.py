"""The reader of official pickles is exact, and clear about damage.

Files made to do harm are in `test_hostile_pickles`.
"""

import collections
import pickle
import pickletools
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.interop import unpickle
from stylegan_jax.interop.unpickle import (
    PickledNetwork,
    is_official_pickle,
    read_networks,
)
from tests.interop.official import SAMPLE


class Network:
    """A stand-in whose instances pickle as the official ones do."""

    def __init__(self, **state):
        self.__dict__.update(state)


class EasyDict(dict):
    """A stand-in for the official dictionary."""


@pytest.fixture
def official_modules(monkeypatch):
    """Lets `Network` and `EasyDict` be pickled under their official paths."""
    for path, cls in (("dnnlib.tflib.network", Network), ("dnnlib.util", EasyDict)):
        for name in ("dnnlib", "dnnlib.tflib", path):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        monkeypatch.setattr(cls, "__module__", path)
        setattr(sys.modules[path], cls.__name__, cls)
    yield


def network(name="Gs", **changes):
    """A small network in the official layout."""
    state = {
        "version": 3,
        "name": name,
        "static_kwargs": {"resolution": 16, "fmap_decay": 1.0},
        "components": {},
        "build_module_src": "raise SystemExit",
        "build_func_name": "G_style",
        "variables": [
            ("lod", np.float32(0.5)),
            ("weight", np.arange(6, dtype=np.float32).reshape(2, 3)),
        ],
    }
    return Network(**{**state, **changes})


def write(tmp_path, value, protocol=4):
    """Pickles a value the ordinary way."""
    path = tmp_path / "written.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_tuple_of_networks_is_read_under_every_protocol(
    tmp_path, official_modules, protocol
):
    mapping = network("G_mapping", build_func_name="G_mapping")
    g_ema = network(components={"mapping": mapping}, static_kwargs=EasyDict(seed=1))
    path = write(tmp_path, (network("G"), network("D"), g_ema), protocol)
    networks = read_networks(path)
    assert list(networks) == ["G", "D", "Gs"]
    assert networks["Gs"].static_kwargs == {"seed": 1}
    assert networks["Gs"].components["mapping"].build_func_name == "G_mapping"
    assert networks["G"].class_path == "dnnlib.tflib.network.Network"
    variables = networks["D"].variables
    assert variables["lod"].shape == () and variables["lod"] == np.float32(0.5)
    np.testing.assert_array_equal(variables["weight"], [[0, 1, 2], [3, 4, 5]])
    assert is_official_pickle(path)


def test_the_sample_is_read_exactly_as_pickle_would():
    class Stub:
        def __setstate__(self, state):
            self.state = state

    class Trusting(pickle.Unpickler):
        def find_class(self, module, name):
            stub = module == "dnnlib.tflib.network"
            return Stub if stub else super().find_class(module, name)

    def compare(ours, theirs):
        assert ours.name == theirs["name"]
        assert ours.static_kwargs == theirs["static_kwargs"]
        assert list(ours.variables) == [name for name, _ in theirs["variables"]]
        for name, array in theirs["variables"]:
            assert ours.variables[name].dtype == array.dtype
            np.testing.assert_array_equal(ours.variables[name], array)
        return len(ours.variables) + sum(
            compare(ours.components[name], part.state)
            for name, part in theirs["components"].items()
        )

    with SAMPLE.open("rb") as file:
        theirs = Trusting(file, encoding="latin1").load()
    counts = [
        compare(ours, network.state)
        for ours, network in zip(read_networks(SAMPLE).values(), theirs, strict=True)
    ]
    assert counts[0] == counts[2] > 60 and counts[1] > 20


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">f4").reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
        np.arange(4, dtype=np.int16),
        np.array([True, False]),
        np.zeros((0, 3), np.float16),
        np.float64(2.5),
    ],
    ids=["big-endian", "fortran", "int16", "bool", "empty", "scalar"],
)
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_arrays_keep_value_shape_and_type(tmp_path, official_modules, array, protocol):
    path = write(tmp_path, network(variables=[("x", array)]), protocol)
    found = read_networks(path)["Gs"].variables["x"]
    assert found.shape == array.shape
    assert found.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, array)


def test_progan_and_older_paths_are_known(tmp_path):
    data = SAMPLE.read_bytes().replace(
        b"\x8c\x14dnnlib.tflib.network", b"\x8c\x06tfutil"
    )
    # The first frame is now 14 bytes shorter than it says, which readers of
    # protocol 4 may ignore.
    path = tmp_path / "progan.pkl"
    path.write_bytes(data)
    assert read_networks(path)["Gs"].class_path == "tfutil.Network"
    assert is_official_pickle(path)


def refused(path):
    """Reads what must be refused and returns the message, which is one line."""
    with pytest.raises(UserError) as caught:
        read_networks(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and message.isprintable()
    return message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\n <!DOCTYPE html><title>Quota exceeded</title>", "web page"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "PyTorch checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"\x93NUMPY\x01\x00", "NumPy"),
        (b"hello, world\n", "damaged, or another kind of file"),
    ],
)
def test_other_kinds_of_file_are_named(tmp_path, data, words):
    path = tmp_path / "other.pkl"
    path.write_bytes(data)
    assert words in refused(path)
    assert not is_official_pickle(path)


def test_a_file_above_the_limit_is_not_even_read(tmp_path, monkeypatch):
    monkeypatch.setattr(unpickle, "MAX_FILE_BYTES", 100)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("was read"))
    with pytest.raises(UserError, match="more than the 100 allowed"):
        read_networks(SAMPLE)


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    data = SAMPLE.read_bytes()
    cuts = np.random.RandomState(0).randint(1, len(data), 60)
    for cut in (1, 2, 3, 11, len(data) - 1, *cuts):
        path = tmp_path / "cut.pkl"
        path.write_bytes(data[:cut])
        refused(path)


# The standard library's opcode reader warns of odd escapes in damaged text.
@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_flipped_bytes_give_networks_or_one_clear_error(tmp_path):
    data = SAMPLE.read_bytes()
    # Half of the flips hit opcodes, since most bytes are harmless weights.
    opcodes = [position or 0 for _, _, position in pickletools.genops(data)]
    random = np.random.RandomState(1)
    outcomes: collections.Counter[str] = collections.Counter()
    for trial in range(80):
        damaged = bytearray(data)
        position = random.choice(opcodes) if trial % 2 else random.randint(len(data))
        damaged[position] ^= random.randint(1, 256)
        path = tmp_path / "flipped.pkl"
        path.write_bytes(damaged)
        try:
            networks = read_networks(path)
        except UserError as error:
            assert str(error).isprintable()
            outcomes["refused"] += 1
        else:
            assert all(isinstance(n, PickledNetwork) for n in networks.values())
            outcomes["read"] += 1
    assert outcomes["refused"] > 20 and outcomes["read"] > 8


def test_a_missing_file_is_the_operating_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_networks(tmp_path / "none.pkl")
    assert not is_official_pickle(tmp_path / "none.pkl")


@pytest.mark.thorough
def test_loading_a_pickle_brings_in_no_other_framework() -> None:
    # Those that wrote such files, and those that others would read them with.
    program = (
        f"import sys, stylegan_jax; stylegan_jax.load({str(SAMPLE)!r}); "
        "names = ('tensorflow', 'torch', 'keras', 'dnnlib', 'tensorflow_datasets'); "
        "print([name for name in names if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
