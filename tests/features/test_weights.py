import dataclasses
import hashlib
import struct
import zlib

import numpy as np
import pytest
import safetensors.numpy

from stylegan_jax.errors import UserError
from stylegan_jax.features import inception, lpips, vgg16, weights
from stylegan_jax.io import cache

SOME = {
    "lin0.model.1.weight": np.arange(12, dtype=np.float32).reshape(3, 4, 1, 1),
    "bias": np.array([1.5, -2], np.float32),
}
SHAPES = {name: array.shape for name, array in SOME.items()}


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def numbers(values):
    return b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"


def torch_bytes(arrays, *, python2=False):
    """What `torch.save` wrote before PyTorch 1.6, as the files that are fetched.

    Python 2 makes ordered dictionaries of a list of pairs. PyTorch before 0.4 called
    parameters by their class, and gave them a state.
    """

    def pickle(body):
        return b"\x80\x02" + body + b"."

    body, storages = b"ccollections\nOrderedDict\n](" if python2 else b"}(", b""
    for key, (name, array) in enumerate(arrays.items()):
        steps = [s // array.itemsize for s in array.strides]
        if python2:
            body += b"](" + text(name) + b"ctorch.nn.parameter\nParameter\n"
        else:
            body += text(name)
        body += b"ctorch._utils\n_rebuild_tensor_v2\n("
        body += b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(str(key))
        body += text("cpu") + b"J" + struct.pack("<i", array.size) + b"NtQ"
        body += b"J\0\0\0\0" + numbers(array.shape) + numbers(steps)
        body += b"\x89ccollections\nOrderedDict\n)RtR"
        if python2:
            body += b"\x85R(\x88\x89ccollections\nOrderedDict\n)Rtbe"
        storages += struct.pack("<q", array.size) + array.tobytes()
    keys = b"](" + b"".join(text(str(key)) for key in range(len(arrays))) + b"e"
    return (
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
        + pickle(b"}" + text("little_endian") + b"\x88s")
        + pickle(body + (b"e\x85R" if python2 else b"u"))
        + pickle(keys)
        + storages
    )


def write(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".safetensors":
        safetensors.numpy.save_file(arrays, path)
    else:
        path.write_bytes(torch_bytes(arrays))
    return path


@pytest.fixture
def published(site, tmp_path, monkeypatch):
    """`SOME`, on a site of this machine and by the right digits of its SHA-256."""
    monkeypatch.setenv("STYLEGAN_JAX_CACHE", str(tmp_path / "cache"))
    site.content = torch_bytes(SOME)
    return weights.WeightFile(
        content="a small network",
        url=site.url,
        file_name="small.pth",
        sha256=hashlib.sha256(site.content).hexdigest()[:8],
        max_bytes=10_000,
        licence="its weights: anybody's",
    )


# --- Files ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pth", ".npz", ".safetensors"])
def test_three_kinds_of_file_say_the_same(tmp_path, published, suffix):
    path = write(tmp_path / f"mine{suffix}", SOME)
    found = weights.load(published, SHAPES, path=path)
    assert found.keys() == SOME.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, SOME[name])


def test_files_of_python_2_are_read(tmp_path):
    path = tmp_path / "old.pth"
    path.write_bytes(torch_bytes(SOME, python2=True))
    found = weights.read(path)
    assert list(found) == list(SOME)
    for name, array in found.items():
        np.testing.assert_array_equal(array, SOME[name])


@pytest.mark.parametrize("pairs", [b"]K\1a", b"](]K\1a]K\2ae", b"](](K\1K\2eK\3e"])
def test_other_things_than_pairs_make_no_dictionary(tmp_path, pairs):
    path = tmp_path / "odd.pth"
    whole = torch_bytes({})
    start = whole.index(b"}(u.")
    odd = b"ccollections\nOrderedDict\n" + pairs + b"\x85R."
    path.write_bytes(whole[:start] + odd + whole[start + 4 :])
    with pytest.raises(UserError, match="other things than pairs; refused"):
        weights.read(path)


def test_other_numbers_become_float32_and_unused_names_are_passed_over(
    tmp_path, published
):
    more = {name: array.astype(np.float64) for name, array in SOME.items()}
    more |= {"classifier.6.bias": np.zeros(2), "bn.num_batches_tracked": np.zeros(1)}
    path = write(tmp_path / "mine.npz", more)
    unused = ("classifier.", ".num_batches_tracked")
    found = weights.load(published, SHAPES, path=path, unused=unused)
    assert found.keys() == SOME.keys()
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias": None}, "missing bias$"),
        ({"more": np.zeros(1)}, "surplus more$"),
        ({"bias": np.zeros(3)}, r"bias is \(3,\), not \(2,\)$"),
        ({"bias": np.array([1, np.nan])}, "bias is not of finite numbers$"),
        ({"bias": np.array([1, 2])}, "bias is not of finite numbers$"),
        (
            {f"x{i}": np.zeros(1) for i in range(9)} | {"bias": None},
            "missing bias; surplus x0, x1, x2, x3 and 5 more$",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_listed(tmp_path, published, change, message):
    arrays = {n: a for n, a in (SOME | change).items() if a is not None}
    path = write(tmp_path / "mine.npz", arrays)
    with pytest.raises(UserError, match=f"mine.npz is not a small network.*{message}"):
        weights.load(published, SHAPES, path=path)


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors", "a.pth", "a.txt"])
def test_damaged_and_absent_files_are_called_by_their_names(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(UserError, match=f"{name}: there is no such file"):
        weights.read(path)
    path.write_bytes(torch_bytes(SOME)[:200] if name == "a.pth" else b"something else")
    with pytest.raises(UserError, match=name) as caught:
        weights.read(path)
    assert "\n" not in str(caught.value)


# --- Fetching ------------------------------------------------------------------------


def test_a_file_is_fetched_once_checked_and_its_licence_shown(site, published, caplog):
    for _ in range(2):
        found = weights.load(published, SHAPES)
        np.testing.assert_array_equal(found["bias"], SOME["bias"])
    assert len(site.requests) == 1
    assert caplog.text.count("its weights: anybody's") == 1
    path = cache.folder("features") / "small.pth"
    assert cache.recorded(path) == hashlib.sha256(site.content).hexdigest()


def test_another_file_than_the_published_one_is_not_kept(site, published):
    site.content = site.content + b"."
    with pytest.raises(UserError, match=f"not {published.sha256}\\.\\.\\.; removed"):
        weights.fetch(published)
    assert not (cache.folder("features") / "small.pth").exists()


def test_one_line_says_what_to_fetch_and_where_to_put_it(site, published):
    absent = dataclasses.replace(published, sha256="0" * 64)
    site.answers = [(404, {}, b"")] * 9
    with pytest.raises(UserError) as caught:
        weights.fetch(absent)
    message = str(caught.value)
    path = cache.folder("features") / "small.pth"
    assert message.startswith("a small network cannot be fetched: ")
    assert message.endswith(
        f"once you have {site.url} by other means, put it at {path} "
        f"(SHA-256 {'0' * 64})"
    )
    assert "\n" not in message


def test_published_digits_are_those_of_the_names_of_files():
    for source in (
        weights.VGG16,
        weights.ALEXNET,
        weights.SQUEEZENET,
        weights.INCEPTION,
    ):
        assert source.file_name.endswith(f"-{source.sha256}.pth")
        assert source.url.endswith(f"/{source.file_name}")


# --- Networks ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "table"),
    [
        (vgg16.load, vgg16.shapes(dense=False)),
        (inception.load, inception.shapes()),
        (lambda path: lpips.load(trunk=path, linear=path), lpips.shapes()),
    ],
)
def test_networks_name_what_a_file_lacks(tmp_path, load, table):
    path = write(tmp_path / "mine.npz", {next(iter(table)): np.zeros(1)})
    count = len(table) - 5
    more = f" and {count} more" if count else ""
    with pytest.raises(UserError, match=f"missing [^;]*{more}; .* is \\(1,\\)"):
        load(path)


def test_lpips_is_loaded_of_two_files(tmp_path):
    random = np.random.RandomState(0)
    trunk = {
        name: np.full(shape, zlib.crc32(name.encode()) % 100 / 100, np.float32)
        for name, shape in vgg16.shapes(dense=False).items()
    }
    linear = {n: random.rand(*shape) for n, shape in lpips.shapes().items()}
    rest = {"classifier.0.bias": np.zeros(1), "classifier.6.bias": np.zeros(1)}
    paths = [
        write(tmp_path / f"{name}.npz", arrays)
        for name, arrays in (("trunk", trunk | rest), ("linear", linear))
    ]
    params = lpips.load(trunk=paths[0], linear=paths[1])
    assert params.keys() == trunk.keys() | linear.keys()
    np.testing.assert_allclose(
        params["lin3.model.1.weight"], linear["lin3.model.1.weight"].ravel(), rtol=1e-6
    )
