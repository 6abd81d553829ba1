"""Hostile and damaged PyTorch files are refused, within bounds, and nothing runs.

Pickles are written opcode by opcode and put into archives as `torch.save` lays them
out, or into the layout before PyTorch 1.6.
"""

import io
import pickle
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.interop.pytorch import load_bundle
from stylegan_jax.pickles import torch_file
from stylegan_jax.pickles.pickle_machine import UnsafePickleError
from stylegan_jax.pickles.torch_pickle import Tensor
from tests.interop import opcodes
from tests.interop.opcodes import MARK, STOP, laughs, number, text

HERE = Path(__file__).parents[1] / "data" / "pytorch"
PROTO = b"\x80\x02"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
ODICT = b"ccollections\nOrderedDict\n"
NAMES_OF_ZIP = ("a/data.pkl", "a/byteorder", "a/data/0", "a/version")


def tup(values):
    return MARK + b"".join(map(number, values)) + b"t"


def storage(count=1, key="0", kind="FloatStorage"):
    name = f"ctorch\n{kind}\n".encode()
    pid = text("storage") + name + text(key) + text("cpu") + number(count)
    return MARK + pid + b"tQ"


def tensor(shape=(1,), strides=(1,), offset=0, place=b""):
    args = (place or storage()) + number(offset) + tup(shape) + tup(strides)
    return REBUILD + MARK + args + b"\x89" + ODICT + b")RtR"


def archive(value, compress=(), **members):
    """A zip as `torch.save` lays it out; the storage "0" has one float32."""
    pickled = PROTO + value + STOP
    contents = dict(
        zip(NAMES_OF_ZIP, (pickled, b"little", bytes(4), b"3"), strict=True)
    )
    contents |= {f"a/{name.replace('_', '/')}": data for name, data in members.items()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, data in contents.items():
            kind = zipfile.ZIP_DEFLATED if name in compress else zipfile.ZIP_STORED
            file.writestr(name, data, kind)
    return stream.getvalue()


def legacy(value, keys=b"", data=None):
    """The old layout."""
    system = PROTO + b"}" + text("little_endian") + b"\x88s" + STOP
    keys = PROTO + b"](" + (keys or text("0")) + b"e" + STOP
    data = struct.pack("<q", 1) + bytes(4) if data is None else data
    return torch_file.LEGACY_MAGIC + system + PROTO + value + STOP + keys + data


def edited(data, offset, layout, value):
    """An archive with another number in its directory's entry of the storage "0"."""
    at = data.index(b"PK\1\2")
    while data[at + 46 : at + 54] != b"a/data/0":
        at = data.index(b"PK\1\2", at + 1)
    changed = bytearray(data)
    struct.pack_into(layout, changed, at + offset, value)
    return bytes(changed)


def huge_directory(data):
    """An archive that says its directory takes 32 MB."""
    end = data.rindex(b"PK\5\6")
    return data[: end + 12] + struct.pack("<I", 1 << 25) + data[end + 16 :]


def hostile(sentinel):
    """Files to refuse, by name; those that could run something touch `sentinel`."""
    command = text(f"touch {sentinel}")
    code = text(f"open({str(sentinel)!r}, 'w').close()")
    system, call = b"cposix\nsystem\n", command + b"\x85R"
    good = b"}" + text("w") + tensor() + b"s"
    huge = 10**9
    pickles = {
        # Calls and names.
        "os.system": system + call,
        "os.system in a tensor": REBUILD + MARK + system + call + b"tR",
        "os.system in a state": b"}" + text("w") + system + call + b"s",
        "os.system behind good": good + system + call + b"\x86",
        "os.system as _metadata": ODICT + b")R}" + text("_metadata") + system + b"sb"
        + system + call + b"\x86",
        "eval": b"cbuiltins\neval\n" + code + b"\x85R",
        "exec": b"cbuiltins\nexec\n" + code + b"\x85R",
        "py2 eval": b"c__builtin__\neval\n" + code + b"\x85R",
        "getattr chain": b"cbuiltins\ngetattr\n" + REBUILD + text("__globals__")
        + b"\x86R",
        "dotted name": text("torch._utils") + text("_rebuild_tensor_v2.__globals__")
        + b"\x93",
        "__import__": b"cbuiltins\n__import__\n" + text("os") + b"\x85R",
        "torch.load": b"ctorch\nload\n" + call,
        "torch.hub": b"ctorch.hub\nload\n" + call,
        "torch.storage": b"ctorch.storage\n_load_from_bytes\n" + call,
        "torch.os": b"ctorch.serialization\nos.system\n" + call,
        "torch.jit": b"ctorch.jit\nload\n" + call,
        "functools": b"cfunctools\npartial\n" + system + b"\x85R",
        "rebuild type": b"ctorch._utils\n_rebuild_from_type_v2\n" + system + b"\x85R",
        "nested reduce": REBUILD + b"cbuiltins\neval\n" + code + b"\x85R\x85R",
        "reduce a storage": storage() + b")R",
        "reduce a storage class": b"ctorch\nFloatStorage\n" + number(huge) + b"\x85R",
        "a whole module": b"cmodel\nStyledGenerator\n)\x81}b",
        "a torch module": b"ctorch.nn.modules.conv\nConv2d\n)\x81}b",
        "ADA": b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}\x85R",
        "INST": MARK + command + b"ios\nsystem\n",
        "OBJ": MARK + system + command + b"o",
        "NEWOBJ of a tensor": REBUILD + b")\x81",
        "NEWOBJ with arguments": ODICT + command + b"\x85\x81",
        "EXT1": b"\x82\x01",
        "PERSID": b"Pos.system\n",
        "BUILD on a tensor": tensor() + b"}" + text("__class__") + system + b"sb",
        "BUILD on a name": REBUILD + b"}" + text("__code__") + b"Nsb",
        "BUILD with slots": ODICT + b")R}}\x86b",
        "OrderedDict of items": ODICT + b"](" + text("a") + call + b"e\x85R",
        "parameter of nothing": b"ctorch._utils\n_rebuild_parameter\n)R",
        "numpy scalar of objects": b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n"
        + text("O8") + b"\x85RC\x01N\x86R",
        # Persistent ids.
        "pid of text": command + b"Q",
        "pid of nothing": b")Q",
        "pid of a path": storage(key="../../../etc/passwd"),
        "pid of the pickle": storage(key="../data.pkl"),
        "pid of another kind": storage().replace(b"storage", b"modules"),
        "pid without a class": MARK + text("storage") + text("f4") * 3 + number(1)
        + b"tQ",
        "pid of exabytes": storage(1 << 60),
        "pid of 10^9": storage(huge),
        "pid of a negative size": storage(-1),
        "pid of an unknown key": storage(key="7"),
        "pid of two types": storage() + storage(key="0", kind="IntStorage") + b"\x86",
        "pid with a view": MARK + storage()[1:-2] + text("v") + b"tQ",
        # Tensors.
        "10^9 elements of one": tensor((huge,), (0,)),
        "10^9 x 10^9 of one": tensor((huge, huge), (0, 0)),
        "beyond its storage": tensor((2,), (1,)),
        "offset beyond": tensor((1,), (1,), offset=1),
        "offset far beyond, empty": tensor((0,), (1,), offset=huge),
        "offset negative": tensor(offset=-1),
        "stride beyond": tensor((2,), (huge,)),
        "stride negative": tensor((2,), (-1,), offset=1),
        "strides overflow": tensor((2, 2), ((1 << 62) - 1, 1 << 62)),
        "shape overflows": tensor((1 << 40, 1 << 40), (1, 1)),
        "shape negative": tensor((-1,), (1,)),
        "shapes of 64 axes": tensor((1,) * 64, (1,) * 64),
        "fewer strides": tensor((1, 1), (1,)),
        "shape of text": tensor().replace(tup((1,)), text("abcd") + b"\x85"),
        "storage of text": tensor(place=text("x")),
        "shape of a bomb": REBUILD + MARK + storage() + number(0)
        + laughs(b"K\x01", b"\x86") + tup((1,)) + b"\x89}tR",
        # Structure.
        "deep nesting": b"]" * 20_000 + b"a" * 19_999,
        "deep tuples": b")" + b"\x85" * 20_000,
        "itself": b"]q\x00h\x00a",
        "key of a bomb": b"}" + laughs(b"K\x01", b"\x86") + b"Ns",
        "key of a list": b"}]Ns",
        "dictionary of itself": b"}q\x00" + text("models") + b"h\x00s",
        "million opcodes": b"N" * 1_100_000,
        "stack underflow": b"R",
        "open mark": b"(N",
        "LONG4 bomb": b"\x8b" + struct.pack("<i", 1 << 30),
        "BINBYTES8 of exabytes": b"\x8e" + struct.pack("<Q", 1 << 60),
        "plain tensor": tensor(),
        "a list": b"]",
        "None": b"N",
        "a dictionary of one tensor": good,
        "StyleGAN2": b"}" + text("g_ema") + b"}"
        + text("conv1.conv.modulation.weight") + tensor() + b"ss",
        "numbers for names": b"}" + text("g_running") + b"}"
        + text("generator.progression.0.conv1.input") + number(1) + b"ss",
        "a state of bad shapes": b"}" + text("generator.progression.0.conv1.input")
        + tensor() + b"s",
    }  # fmt: skip
    files = {name: archive(data) for name, data in pickles.items()}
    files |= {f"legacy {name}": legacy(data) for name, data in pickles.items()}
    zipped, raw = archive(good), legacy(good)
    files |= {
        "deflated pickle": archive(good, ["a/data.pkl"]),
        "deflate bomb": archive(storage(1 << 23), ["a/data/0"], data_0=bytes(1 << 25)),
        "storage too long": archive(good, data_0=bytes(8)),
        "storage too short": archive(good, data_0=bytes(3)),
        "size of exabytes": edited(zipped, 24, "<I", 0xFFFFFFFE),
        "sizes of 4 GB": edited(edited(zipped, 24, "<I", 1 << 31), 20, "<I", 1 << 31),
        "header far away": edited(zipped, 42, "<I", 0x7FFFFFFF),
        "header elsewhere": edited(zipped, 42, "<I", 7),
        "encrypted": edited(zipped, 8, "<H", 1),
        "member twice": archive(good, data_1=b"").replace(b"a/data/1", b"a/data/0"),
        "huge directory": huge_directory(zipped),
        "TorchScript": archive(good, code_x=b"def f(): pass"),
        "two pickles": archive(good, twinpickl=b"").replace(
            b"a/twinpickl", b"ab/data.pkl"
        ),
        "no pickle": archive(good).replace(b"data.pkl", b"data.pkz"),
        "root too deep": archive(good).replace(b"a/data", b"//data"),
        "legacy count of exabytes": legacy(good, data=struct.pack("<q", 1 << 60)),
        "legacy negative count": legacy(good, data=struct.pack("<q", -1) + bytes(4)),
        "legacy without data": legacy(good, data=b""),
        "legacy key twice": legacy(good, text("0") * 2),
        "legacy unknown key": legacy(good, text("1")),
        "legacy key of a number": legacy(good, number(0)),
        "legacy without keys": raw[: raw.rindex(b"\x80\x02](")],
        "legacy code for keys": raw[: raw.rindex(b"\x80\x02](")]
        + PROTO + system + call + STOP,
        "legacy code for the system": torch_file.LEGACY_MAGIC
        + PROTO + system + call + STOP,
        "legacy tensor before its data": torch_file.LEGACY_MAGIC
        + PROTO + tensor(place=storage(1 << 40)) + STOP,
    }  # fmt: skip
    return files


NAMES = [
    pytest.param(name, marks=pytest.mark.thorough) if "million" in name else name
    for name in sorted(hostile(Path("x")))
]


@pytest.fixture(scope="module")
def files(sentinel):
    return hostile(sentinel)


def refusal(sentinel, data):
    path = sentinel.with_name("hostile.pth")
    return opcodes.refused(load_bundle, path, data, UserError)


def test_the_layouts_of_this_file_can_be_read(tmp_path):
    path = tmp_path / "a.pth"
    for data in (archive(tensor()), legacy(tensor())):
        path.write_bytes(data)
        value = torch_file.read(path)
        assert isinstance(value, Tensor)
        np.testing.assert_array_equal(value.array(), np.zeros(1, np.float32))


def test_strides_and_types_are_those_of_numpy(tmp_path):
    path = tmp_path / "a.pth"
    kinds = {"Float": "<f4", "Half": "<f2", "Double": "<f8", "Long": "<i8"}
    for kind, code in kinds.items():
        data = np.arange(6).astype(code)
        strided = tensor((2, 2), (1, 3), 1, storage(6, kind=f"{kind}Storage"))
        path.write_bytes(archive(strided, data_0=data.tobytes()))
        found = torch_file.read(path).array()
        np.testing.assert_array_equal(found, [[1, 4], [2, 5]])
        assert found.dtype == data.dtype
    half = tensor((2,), (1,), place=storage(2, kind="BFloat16Storage"))
    path.write_bytes(archive(half, data_0=struct.pack("<2H", 0x3FC0, 0xC000)))
    np.testing.assert_array_equal(torch_file.read(path).array(), [1.5, -2])


def test_big_endian_files_are_read(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(archive(tensor(), byteorder=b"big", data_0=struct.pack(">f", 2.5)))
    value = torch_file.read(path)
    assert isinstance(value, Tensor) and value.array() == [2.5]


@pytest.mark.parametrize("name", ["os.system", "eval", "OBJ", "nested reduce"])
def test_the_payloads_are_live_in_the_standard_library(tmp_path, name):
    sentinel = tmp_path / "sentinel"
    data = hostile(sentinel)[name]
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        pickled = file.read("a/data.pkl")
    if name == "nested reduce":  # without PyTorch its outer call cannot be looked up
        pickled = pickled.replace(REBUILD, b"cbuiltins\nlen\n")
    try:
        pickle.loads(pickled)
    except TypeError:
        assert name == "nested reduce"
    assert sentinel.exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_file_is_refused_and_nothing_runs(sentinel, files, name):
    modules = set(sys.modules)
    refusal(sentinel, files[name])
    assert not sentinel.exists()
    assert not {"torch", "runpy"} & (set(sys.modules) - modules)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("os.system", "posix.system"),
        ("a whole module", "a whole model, which carries code"),
        ("ADA", "StyleGAN2-ADA-PyTorch or StyleGAN3"),
        ("StyleGAN2", "a dictionary of 1 (g_ema, ...)"),
        ("plain tensor", "holds a Tensor, no network"),
        ("10^9 elements of one", "beyond its 1 numbers"),
        ("deflate bomb", "compressed"),
        ("huge directory", "a directory of"),
        ("member twice", "a member twice"),
        ("TorchScript", "a TorchScript archive"),
        ("legacy without data", "damaged"),
        ("numbers for names", "is no tensor"),
    ],
)
def test_the_refusal_says_what_was_found(sentinel, files, name, words):
    assert words in str(refusal(sentinel, files[name]))


def test_code_is_told_apart_from_damage(sentinel, files):
    assert isinstance(refusal(sentinel, files["eval"]), UnsafePickleError)
    short = (HERE / "rosinality_res16.pth").read_bytes()[:5000]
    assert not isinstance(refusal(sentinel, short), UnsafePickleError)


@pytest.mark.parametrize("name", ["rosinality_res16", "rosinality_res128"])
def test_files_cut_short_anywhere_are_refused(sentinel, name):
    data = (HERE / f"{name}.pth").read_bytes()
    offsets = np.random.RandomState(0).randint(0, len(data) - 22, 40)
    for offset in [0, 1, 4, 20, 30, 1024, *offsets]:
        refusal(sentinel, data[:offset])


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["genforce_res8_dense", "genforce_res16_growing"])
def test_files_with_bytes_changed_load_or_are_refused(tmp_path, name):
    data, path = (HERE / f"{name}.pth").read_bytes(), tmp_path / "changed.pth"
    rng = np.random.RandomState(1)
    for _ in range(40):
        changed = bytearray(data)
        for at in rng.randint(0, len(data), 3):
            changed[at] = rng.randint(256)
        path.write_bytes(changed)
        try:
            load_bundle(path)
        except UserError as error:
            assert str(error).isprintable()
