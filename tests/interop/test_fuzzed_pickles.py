"""Good pickles with exploits spliced in, or damaged at random: hundreds of each.

Every file is read with Python's audit events watched and memory traced: nothing may
be imported, compiled, executed or opened, and nothing allocated beyond the file's
own size. What is refused is refused by our error; no other exception gets out.
"""

import dataclasses
import io
import itertools
import pickle
import pickletools
import struct
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.interop import official_writer, stylegan_tf
from stylegan_jax.interop.bundle import Bundle
from stylegan_jax.interop.unpickle import read_networks
from tests import tiny
from tests.interop.official import SAMPLE
from tests.interop.opcodes import text

MODEL = dataclasses.replace(
    tiny.MODEL_8, z_dim=2, w_dim=2, mapping_width=2, channel_base=16, channel_max=2
)
MAX_MEMORY = 32 << 20  # bytes; the files have some kilobytes

# Events of Python's audit hooks that reading data has no business with.
_FORBIDDEN = ("import", "compile", "exec", "os.", "subprocess.", "pickle.find_class")
_FORBIDDEN += ("ctypes.", "socket.", "shutil.", "code.", "builtins.")
MORE = [("ours", 12), ("official", 4)]  # it has opcodes that ours has not: frames, memo
_seen: list[str] | None = None


def _watch(event, arguments):
    if _seen is None or not event.startswith(_FORBIDDEN):
        return
    # A text in an odd encoding makes Python import its own codec, once.
    if "encodings" not in f"{arguments!r}":
        _seen.append(f"{event} {arguments!r:.100}")


@pytest.fixture(scope="module", autouse=True)
def audit():
    """A hook cannot be taken off again; it sleeps while `_seen` is None."""
    sys.addaudithook(_watch)


def read_all(files, path):
    """Reads every file; the refusal of each by name, None where it was read."""
    global _seen
    found: dict[str, str | None] = {}
    tracemalloc.start()
    try:
        for name, data in files:
            path.write_bytes(data)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            _seen, refusal = [], None
            try:
                read_networks(path)
            except UserError as error:
                refusal = str(error)
            finally:
                events, _seen = _seen, None
            assert not events, (name, events)
            assert tracemalloc.get_traced_memory()[1] - before < MAX_MEMORY, name
            if refusal is not None:
                assert refusal.isprintable() and str(path) in refusal, name
            found[name] = refusal
    finally:
        tracemalloc.stop()
    return found


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small file that is read."""
    path = tmp_path_factory.mktemp("good") / "good.pkl"
    official_writer.save_pickle(path, Bundle(generator=tiny.generator(MODEL)))
    assert list(read_networks(path)) == ["Gs"]
    return path.read_bytes()


def exploits(sentinel):
    """Opcodes that do harm in the standard library and leave the stack as it was."""
    command = text(f"touch {sentinel}")
    code = text(f"open({str(sentinel)!r}, 'w').close()")
    arguments = text("/bin/sh") + text("-c") + command
    return {
        "posix.system": b"cposix\nsystem\n" + command + b"\x85R0",
        "os.system": b"cos\nsystem\n" + command + b"\x85R0",
        "os.popen": b"cos\npopen\n" + command + b"\x85R0",
        "stack global": text("posix") + text("system") + b"\x93" + command + b"\x85R0",
        "inst": b"(" + command + b"iposix\nsystem\n0",
        "obj": b"(cposix\nsystem\n" + command + b"o0",
        "eval": b"cbuiltins\neval\n" + code + b"\x85R0",
        "exec": b"cbuiltins\nexec\n" + code + b"\x85R0",
        "subprocess": b"csubprocess\nPopen\n](" + arguments + b"e\x85R0",
        "new object": b"csubprocess\nPopen\n](" + arguments + b"e\x85\x810",
        "runpy": b"crunpy\nrun_path\n" + text(str(sentinel)) + b"\x85R0",
        "getattr": b"cbuiltins\ngetattr\ncos\nsystem\n" + text("x") + b"\x86R0",
        "import": b"cbuiltins\n__import__\n" + text("antigravity") + b"\x85R0",
        "pickle in pickle": b"cpickle\nloads\nB\x04\x00\x00\x00\x80\x04N.\x85R0",
        "numpy object array": b"cnumpy\nndarray\nK\x01\x85" + text("O") + b"\x86R0",
        "map": b"cbuiltins\nmap\ncos\nsystem\n](" + command + b"e\x86R0",
        "attribute": b"coperator\nattrgetter\n" + text("system") + b"\x85R0",
        "ctypes": b"cctypes\nCDLL\n" + text("libc.so.6") + b"\x85R0",
        "persistent id": command + b"Q0",
        "extension": b"\x82\x010",
    }


def boundaries(data):
    """Where opcodes begin, but the first."""
    return [position for _, _, position in pickletools.genops(data)][1:]


def spliced(data, sentinel, each):
    """Every exploit at `each` places, spread over the file."""
    places = boundaries(data)
    for i, (name, opcodes) in enumerate(exploits(sentinel).items()):
        for place in places[i :: len(places) // each]:
            yield f"{name} at {place}", data[:place] + opcodes + data[place:]


class Loader(pickle.Unpickler):
    """The standard library's, for which dnnlib is there and NumPy is old."""

    def find_class(self, module, name):
        """Anything else is imported, as it always does."""
        if module.startswith("dnnlib"):
            return type("Network", (), {})
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


@pytest.mark.parametrize("name", ["posix.system", "inst", "obj", "eval", "exec"])
def test_spliced_exploits_are_live_in_the_standard_library(name, good, tmp_path):
    sentinel, path = tmp_path / "sentinel", tmp_path / "a.pkl"
    place = boundaries(good)[200]
    opcodes = exploits(sentinel)[name]
    path.write_bytes(good[:place] + opcodes + good[place:])
    with open(path, "rb") as file:
        network = Loader(file).load()
    assert network.name == "Gs"  # and nobody is the wiser
    assert sentinel.exists()


def test_the_watch_sees_what_runs(tmp_path):
    global _seen
    _seen = []
    try:
        Loader(io.BytesIO(b"\x80\x04cbuiltins\neval\n" + text("1") + b"\x85R.")).load()
    finally:
        events, _seen = _seen, None
    assert any(event.startswith("pickle.find_class") for event in events)
    assert any(event.startswith("exec") for event in events)


@pytest.mark.parametrize(
    ("source", "each"),
    [("ours", 4), *(pytest.param(*x, marks=pytest.mark.thorough) for x in MORE)],
)
def test_an_exploit_anywhere_in_a_good_file_is_refused_and_does_not_run(
    source, each, good, tmp_path
):
    sentinel = tmp_path / "sentinel"
    data = good if source == "ours" else SAMPLE.read_bytes()
    found = read_all(spliced(data, sentinel, each), tmp_path / "a.pkl")
    assert len(found) >= 20 * each
    assert all(refusal is not None for refusal in found.values())
    assert not sentinel.exists()


def flipped(data, count):
    """One to four random bytes changed."""
    random = np.random.RandomState(0)
    for i in range(count):
        changed = bytearray(data)
        for _ in range(1 + i % 4):
            changed[random.randint(len(data))] = random.randint(256)
        yield f"flip {i}", bytes(changed)


def swapped(data, count):
    """One opcode replaced by another, its argument left as it is."""
    random = np.random.RandomState(1)
    places = boundaries(data)
    codes = [opcode.code.encode("latin1") for opcode in pickletools.opcodes]
    for i in range(count):
        place = places[random.randint(len(places))]
        code = codes[random.randint(len(codes))]
        yield f"swap {i}", data[:place] + code + data[place + 1 :]


def cut(data, count):
    """The beginning of the file only, or without some bytes in the middle."""
    random = np.random.RandomState(2)
    for i in range(count):
        place = random.randint(1, len(data))
        end = place + random.randint(1, 50) if i % 2 else len(data)
        yield f"cut {i}", data[:place] + data[end:]


def scrambled(data, count):
    """Opcodes of the file, with their arguments, in random order."""
    random = np.random.RandomState(3)
    places = [0, *boundaries(data), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    for i in range(count):
        chosen = random.randint(1, len(pieces) - 1, 60)
        body = b"".join(pieces[k] for k in chosen)
        yield f"scramble {i}", b"\x80\x04" + body + b"."


def noise(data, count):
    """Random bytes, weighted towards opcodes."""
    random = np.random.RandomState(4)
    codes = np.array([ord(opcode.code) for opcode in pickletools.opcodes])
    for i in range(count):
        body = codes[random.randint(len(codes), size=200)].astype(np.uint8).tobytes()
        yield f"noise {i}", b"\x80\x04" + body + b"."


@pytest.mark.parametrize("count", [50, pytest.param(250, marks=pytest.mark.thorough)])
@pytest.mark.parametrize(
    ("damage", "fewest_refused"),
    [(flipped, 0.05), (swapped, 0.7), (cut, 0.95), (scrambled, 1.0), (noise, 1.0)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_damage_is_refused_or_harmless(damage, fewest_refused, count, good, tmp_path):
    found = read_all(damage(good, count), tmp_path / "a.pkl")
    assert len(found) == count
    refused = sum(refusal is not None for refusal in found.values())
    assert refused >= fewest_refused * len(found)


def test_arguments_out_of_bounds_never_reach_the_networks(
    good: bytes, tmp_path: Path
) -> None:
    # Each size of the network, made huge, negative, or another type. (Components
    # repeat them, but the outer network's count.)
    path = tmp_path / "a.pkl"
    outer = good.index(b"components")
    ends = [b"J" + struct.pack("<i", n) for n in (2**31 - 1, -1, 0)]
    ends += [b"N", b"\x88", text("x"), b"G" + struct.pack(">d", float("inf")), b"]"]
    tried = 0
    for opcode, _, place in pickletools.genops(good):
        sizes = (b"latent_size", b"fmap_base", b"fmap_max", b"resolution")
        if opcode.name != "BININT" or not good[:place].endswith(sizes):
            continue
        if place > outer:
            break
        for end in ends:
            path.write_bytes(good[:place] + end + good[place + 5 :])
            with pytest.raises(UserError) as caught:
                stylegan_tf.load_bundle(path)
            assert str(caught.value).isprintable()
            tried += 1
    assert tried == 5 * len(ends)
