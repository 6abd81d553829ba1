"""Hostile pickles are refused, within bounds, and nothing in them runs.

They are written opcode by opcode. Several do something when the standard library
loads them; the first test shows it, so that the others mean something.
"""

import pickle
import struct
import sys
from pathlib import Path

import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.interop.unpickle import read_networks
from stylegan_jax.pickles.pickle_machine import UnsafePickleError
from tests.interop import opcodes
from tests.interop.opcodes import MARK, PROTO, STOP, laughs, number, text

NDARRAY = b"cnumpy\nndarray\n"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
SCALAR = b"cnumpy.core.multiarray\nscalar\n"
DTYPE = b"cnumpy\ndtype\n"
NETWORK = b"cdnnlib.tflib.network\nNetwork\n"
EMPTY_ARRAY = RECONSTRUCT + NDARRAY + b"K\x00\x85C\x01b\x87R"


def raw(data):
    """BINBYTES."""
    return b"B" + struct.pack("<I", len(data)) + data


def dtype(code):
    """A NumPy type as NumPy writes it."""
    state = MARK + number(3) + text("<") + b"NNN" + number(-1) * 2 + number(0) + b"t"
    return DTYPE + text(code) + b"\x89\x88\x87R" + state + b"b"


def array(shape, code, data):
    """An array as NumPy writes it; `shape` is the opcodes of its tuple."""
    state = MARK + number(1) + shape + dtype(code) + b"\x89" + data + b"t"
    return EMPTY_ARRAY + state + b"b"


def built(state):
    """A network with `state`, the opcodes of the items of its dictionary."""
    return NETWORK + b")\x81}" + MARK + state + b"ub"


def state_of(**changes: bytes) -> bytes:
    """The items of a network's state, some replaced by other opcodes."""
    items = {
        "version": number(3),
        "name": text("Gs"),
        "static_kwargs": b"}",
        "components": b"}",
        "build_module_src": text(""),
        "build_func_name": text("G_style"),
        "variables": b"]",
        **changes,
    }
    return b"".join(text(key) + value for key, value in items.items())


def setting(value):
    """A network with one setting."""
    return built(state_of(static_kwargs=b"}(" + text("a") + value + b"u"))


def variable(value):
    """A network with one variable."""
    return built(state_of(variables=b"](" + text("w") + value + b"\x86e"))


def component(value):
    """A network with one component."""
    return built(state_of(components=b"}(" + text("a") + value + b"u"))


def hostile(sentinel):
    """Files to refuse, by name; those that could run something touch `sentinel`."""
    command = text(f"touch {sentinel}")
    code = text(f"open({str(sentinel)!r}, 'w').close()")
    system = b"cposix\nsystem\n"
    evaluate = b"cbuiltins\neval\n"
    call = command + b"\x85R"
    key = laughs(b"K\x01", b"\x86")
    cases = {
        # Calls.
        "REDUCE os.system": system + call,
        "REDUCE eval": evaluate + code + b"\x85R",
        "REDUCE exec": b"cbuiltins\nexec\n" + code + b"\x85R",
        "REDUCE py2 eval": b"c__builtin__\neval\n" + code + b"\x85R",
        "REDUCE getattr": b"cbuiltins\ngetattr\n" + NETWORK + text("x") + b"\x86R",
        "REDUCE __import__": b"cbuiltins\n__import__\n" + text("os") + b"\x85R",
        "REDUCE numpy.load": b"cnumpy\nload\n" + call,
        "REDUCE numpy.fromfile": b"cnumpy\nfromfile\n" + call,
        "REDUCE numpy runstring": b"cnumpy.testing._private.utils\nrunstring\n" + call,
        "REDUCE numpy.f2py": b"cnumpy.f2py.diagnose\nrun_command\n" + call,
        "REDUCE copyreg": b"ccopyreg\n_reconstructor\n" + NETWORK + NETWORK + b"N\x87R",
        "REDUCE network": NETWORK + b")R",
        "REDUCE a text": text("os.system") + call,
        "REDUCE a list of arguments": DTYPE + b"](" + text("f4") + b"eR",
        "REDUCE a dictionary with items": b"ccollections\nOrderedDict\n}\x85R",
        "REDUCE a codec": b"c_codecs\nencode\n" + text("x") + text("zlib") + b"\x86R",
        "REDUCE a decoder": b"c_codecs\ndecode\n" + command + b"\x85R",
        "nested REDUCE": DTYPE + system + call + b"\x85R",
        "in a variable": variable(system + call),
        "in a setting": setting(system + call),
        "after a good network": built(state_of()) + system + call + b"\x86",
        # Names.
        "STACK_GLOBAL os.system": text("os") + text("system") + b"\x93" + call,
        "STACK_GLOBAL with dots": text("dnnlib.tflib.network")
        + text("Network.__init__.__globals__") + b"\x93",
        "STACK_GLOBAL numpy attribute path": text("numpy")
        + text("core.multiarray._reconstruct") + b"\x93",
        "STACK_GLOBAL numpy to os": text("numpy") + text("os.system") + b"\x93" + call,
        "STACK_GLOBAL of numbers": b"K\x01K\x02\x93",
        "STACK_GLOBAL of a bomb": key + key + b"\x93",
        "GLOBAL with spaces": b"cos system\nsystem\n" + call,
        "GLOBAL numpy private": b"cnumpy.core.multiarray\nfromfile\n",
        "GLOBAL of a similar module": b"cdnnlib.tflib.networks\nNetwork\n)\x81",
        "GLOBAL of another class": b"cdnnlib.tflib.network\nos\n",
        # Objects.
        "INST": MARK + command + b"ios\nsystem\n",
        "OBJ": MARK + system + command + b"o",
        "NEWOBJ of a function": system + command + b"\x85\x81",
        "NEWOBJ of ndarray": NDARRAY + number(1 << 30) + b"\x85\x85\x81",
        "NEWOBJ with arguments": NETWORK + command + b"\x85\x81",
        "NEWOBJ of dtype": DTYPE + text("O8") + b"\x85\x81",
        "NEWOBJ_EX": NETWORK + b")}\x92",
        "EXT1": b"\x82\x01",
        "PERSID": b"Pos.system\n",
        "BINPERSID": command + b"Q",
        "NEXT_BUFFER": b"\x97",
        "READONLY_BUFFER": command + b"\x98",
        # BUILD.
        "BUILD on a class": NETWORK + b"}(" + text("__init__") + system + b"ub",
        "BUILD on a function": RECONSTRUCT + b"N}(" + text("__code__") + b"Nu\x86b",
        "BUILD on a dictionary": b"}}b",
        "BUILD on an EasyDict": b"cdnnlib.util\nEasyDict\n)\x81}b",
        "BUILD twice": built(state_of()) + b"}(" + state_of() + b"ub",
        "BUILD with slots": NETWORK + b")\x81}}\x86b",
        "BUILD a dtype with fields": DTYPE + text("f4") + b"\x89\x88\x87R(" + number(3)
        + text("|") + b"N" + text("a") + b"\x85}" + number(4) * 2 + number(0) + b"tb",
        "state with a foreign key": built(state_of(os=system)),
        "state with an unknown key": built(state_of(scope=text("x"))),
        "state without a name": built(text("version") + number(3)),
        "state of version 1": built(state_of(version=number(1))),
        "state of a version that is text": built(state_of(version=text("3"))),
        "network never built": NETWORK + b")\x81",
        "component that is no network": component(number(1)),
        "network within itself": NETWORK + b")\x81q\x00}("
        + state_of(components=b"}(" + text("mapping") + b"h\x00u") + b"ub",
        # Arrays.
        "array of objects": array(b"K\x01\x85", "O8", b"](" + system + call + b"e"),
        "scalar object": SCALAR + dtype("O8") + raw(b"cos\n") + b"\x86R",
        "scalar object without state": SCALAR + DTYPE + text("O") + b"\x85R"
        + raw(pickle.dumps(1)) + b"\x86R",
        "structured array": array(b"K\x01\x85", "f4,O", raw(bytes(12))),
        "text array": array(b"K\x01\x85", "U1", raw(bytes(4))),
        "void array": array(b"K\x01\x85", "V4", raw(bytes(4))),
        "date array": array(b"K\x01\x85", "M8[s]", raw(bytes(8))),
        "dtype of a bomb": DTYPE + key + b"\x85R",
        "huge shape": array(
        number(1 << 30) + number(1 << 30) + b"\x86", "f4", raw(bytes(4))),
        "shape that overflows": array(
        number(1 << 62) + number(4) + b"\x86", "f4", raw(b"")),
        "negative shape": array(number(-1) + b"\x85", "f4", raw(bytes(4))),
        "too few bytes": array(number(2) + b"\x85", "f4", raw(bytes(4))),
        "too many bytes": array(number(1) + b"\x85", "f4", raw(bytes(8))),
        "64 dimensions": array(MARK + b"K\x01" * 64 + b"t", "f4", raw(bytes(4))),
        "shape of a bomb": array(key + b"\x85", "f4", raw(bytes(4))),
        "list for data": array(b"K\x01\x85", "f4", b"]"),
        "subclass of ndarray": RECONSTRUCT + b"cnumpy\nmemmap\nK\x00\x85C\x01b\x87R",
        "reconstruct a huge array": RECONSTRUCT + NDARRAY + number(1 << 30)
        + b"\x85C\x01b\x87R",
        "reconstruct objects": RECONSTRUCT + NDARRAY + b"K\x00\x85" + text("O")
        + b"\x87R",
        "array never built": variable(EMPTY_ARRAY),
        "one blob in many arrays": b"](" + raw(bytes(1 << 16)) + b"q\x00"
        + array(number(1 << 14) + b"\x85", "f4", b"h\x00") * 400 + b"e",
        "one text encoded many times": text("x" * (1 << 16)) + b"q\x00]("
        + (b"c_codecs\nencode\nh\x00" + text("latin1") + b"\x86R") * 400 + b"e",
        # Sizes.
        "LONG4 bomb": b"\x8b" + struct.pack("<i", 1 << 30),
        "LONG4 that is there": b"\x8b" + struct.pack("<i", 1 << 16)
        + b"\x7f" * (1 << 16),
        "LONG1 of 255 bytes": b"\x8a\xff" + b"\x7f" * 255,
        "INT of many digits": b"I" + b"9" * 100_000 + b"\n",
        "BINBYTES8 of exabytes": b"\x8e" + struct.pack("<Q", 1 << 60),
        "BINUNICODE8 of exabytes": b"\x8d" + struct.pack("<Q", (1 << 63) + 1),
        "BYTEARRAY8 of exabytes": b"\x96" + struct.pack("<Q", 1 << 60),
        "FRAME of exabytes": b"\x95" + struct.pack("<Q", 1 << 60),
        "memo index of 4 billion": b"Nr\xff\xff\xff\xff",
        "million opcodes": b"N" * 1_000_000,
        "billion laughs list": setting(b"(]q\x00" + b"".join(
        b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1])
        for i in range(60)) + b"t"),
        "billion laughs key": b"}(" + key + b"Nu",
        "billion laughs setting": setting(key),
        "deep nesting": b"]" * 20_000 + b"a" * 19_999,
        "deep nesting in a setting": setting(b")" + b"\x85" * 50_000),
        "list within itself": setting(b"]q\x00h\x00a"),
        "deep marks": MARK * 20_000,
        "components of components": component(component(component(built(state_of())))),
        "long name": built(state_of(name=text("x" * 5000))),
        # Shapes of the stack.
        "nothing": b"",
        "empty stack": b"0",
        "stack underflow": b"R",
        "mark underflow": b"t",
        "TUPLE3 of two": b"NN\x87",
        "APPEND to a number": b"K\x01K\x02a",
        "SETITEM on a list": b"]K\x00K\x01s",
        "odd SETITEMS": b"}(" + text("a") + b"u",
        "key that is a number": b"}K\x01K\x02s",
        "key that is a list": b"}]K\x02s",
        "memo never set": b"h\x05",
        "two values": b"NN",
        "open mark": b"(N",
        "variable twice": built(state_of(variables=b"]("
        + (text("w") + array(b")", "f4", raw(bytes(4))) + b"\x86") * 2 + b"e")),
        "variable without array": variable(b"K\x01"),
        "variable name of bytes": built(
        state_of(variables=b"](" + raw(b"w") + b"K\x01\x86e")),
        "bad text": b"X\x02\x00\x00\x00\xff\xfe",
        "unknown opcode": b"\xff",
        "protocol 9": b"\x80\x09N",
        # Other things.
        "None": b"N",
        "a dictionary": b"}" + text("G_ema") + b"Ns",
        "a pair of networks": built(state_of()) * 2 + b"\x86",
        "networks and a number": built(state_of()) * 2 + b"K\x01\x87",
        "StyleGAN3": b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}\x85R",
        "PyTorch": b"ctorch._utils\n_rebuild_tensor_v2\n)R",
        "Keras": b"ckeras.saving.pickle_utils\ndeserialize_model_from_bytecode\n)R",
    }  # fmt: skip
    return {name: PROTO + data + STOP for name, data in cases.items()}


NAMES = sorted(hostile(Path("x")))


@pytest.fixture(scope="module")
def files(sentinel):
    return hostile(sentinel)


def refusal(sentinel, data):
    path = sentinel.with_name("hostile.pkl")
    return opcodes.refused(read_networks, path, data, UserError)


LIVE = ["REDUCE os.system", "REDUCE eval", "OBJ", "INST", "nested REDUCE"]


@pytest.mark.parametrize("name", [*LIVE, "STACK_GLOBAL os.system"])
def test_the_payloads_are_live_in_the_standard_library(tmp_path, name):
    sentinel = tmp_path / "sentinel"
    try:
        pickle.loads(hostile(sentinel)[name])
    except Exception:
        assert name == "nested REDUCE"  # the outer call fails on the inner one's value
    assert sentinel.exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_file_is_refused_and_nothing_runs(sentinel, files, name):
    modules = set(sys.modules)
    refusal(sentinel, files[name])
    assert not sentinel.exists()
    assert not {"torch", "keras", "runpy", "numpy.f2py"} & (set(sys.modules) - modules)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("REDUCE os.system", "posix.system"),
        ("StyleGAN3", "StyleGAN2-ADA-PyTorch or StyleGAN3"),
        ("PyTorch", "a PyTorch checkpoint"),
        ("Keras", "names keras.saving"),
        ("EXT1", "EXT1"),
        ("array of objects", "O8"),
        ("huge shape", "has 4 bytes"),
        ("a dictionary", "holds a dict of 1"),
        ("state of version 1", "not one of 2, 3, 4"),
        ("state with an unknown key", "an unknown scope"),
    ],
)
def test_the_refusal_says_what_was_found_and_what_would_work(
    sentinel, files, name, words
):
    message = str(refusal(sentinel, files[name]))
    assert words in message
    assert "karras2019stylegan-ffhq-1024x1024.pkl" in message


def test_code_is_told_apart_from_damage(sentinel, files):
    data = files["REDUCE eval"]
    assert isinstance(refusal(sentinel, data), UnsafePickleError)
    assert not isinstance(refusal(sentinel, data[:5]), UnsafePickleError)
