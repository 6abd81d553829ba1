import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from jax import export
from jax.sharding import NamedSharding, PartitionSpec

from stylegan_jax.classifiers import classifier_file, classifier_network, own
from stylegan_jax.errors import UserError
from stylegan_jax.features import alexnet, exported_function, squeezenet, vgg16

MATRIX = np.random.RandomState(0).randn(3, 5).astype(np.float32)


def embed(images):
    """Squares of the mean colours, mixed."""
    return (images.astype(jnp.float32).mean((1, 2)) / 255) ** 2 @ jnp.asarray(MATRIX)


def pictures(count=3, side=6):
    draw = np.random.RandomState(1)
    return draw.randint(256, size=(count, side, side, 3), dtype=np.uint8)


def embedded(images):
    """`embed` in float64."""
    return (images.astype(np.float64).mean((1, 2)) / 255) ** 2 @ MATRIX


def write(path, function, shape, dtype, vjp_order=0, **options):
    taken = jax.ShapeDtypeStruct(export.symbolic_shape(shape), dtype)
    exported = export.export(jax.jit(function), **options)(taken)
    path.write_bytes(exported.serialize(vjp_order=vjp_order))
    return path


def test_a_function_in_a_file_is_a_network_with_a_derivative(tmp_path):
    exported_function.save(embed, tmp_path / "colours.jaxexport")
    network = own.load(tmp_path / "colours.jaxexport")
    assert (network.name, network.size) == ("colours", 5)
    images = pictures()
    found = network(images)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, embedded(images), rtol=1e-5, atol=1e-6)
    # Within another function, of float images: d/dx of (mean/255)^2 is known.
    x = jnp.asarray(images, jnp.float32)
    gradient = jax.jit(jax.grad(lambda x: network.function({}, x)[:, 2].sum()))(x)
    means = images.astype(np.float64).mean((1, 2))
    expected = 2 * means / 255**2 * MATRIX[:, 2] / 36
    np.testing.assert_allclose(gradient[:, 3, 4], expected, rtol=1e-5)


def test_it_runs_on_images_that_are_spread_over_devices(tmp_path):
    exported_function.save(embed, tmp_path / "colours.jaxexport")
    images = pictures(8)
    mesh = jax.make_mesh((4,), ("data",))
    spread = jax.device_put(images, NamedSharding(mesh, PartitionSpec("data")))
    found = own.load(tmp_path / "colours.jaxexport")(spread)
    np.testing.assert_allclose(found, embedded(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_fixed_sizes_are_met_by_resizing_and_in_groups(tmp_path, dtype):
    path = write(tmp_path / "fixed.jaxexport", embed, "2, 4, 4, 3", dtype)
    network = own.load(path)
    images = pictures(5, side=8)
    # Antialiased, linear, to half: a triangle of four, (1, 3, 3, 1) / 8 inside.
    resize = np.zeros((4, 8))
    for row in range(4):
        taps = np.maximum(0, 1 - np.abs(np.arange(8) - (2 * row + 0.5)) / 2)
        resize[row] = taps / taps.sum()
    small = np.einsum("ai,bj,nijc->nabc", resize, resize, images.astype(np.float64))
    small = np.round(small) if dtype == np.uint8 else small
    np.testing.assert_allclose(network(images), embedded(small), atol=2e-3)
    if dtype == np.float32:
        np.testing.assert_allclose(network(images), embedded(small), atol=1e-5)
    same = pictures(2, side=4)
    np.testing.assert_allclose(network(same), embedded(same), atol=1e-5)
    with pytest.raises(UserError, match=r"without its derivative.*vjp_order=1"):
        jax.grad(lambda x: network.function({}, x).sum())(jnp.zeros((2, 4, 4, 3)))


def test_functions_of_another_form_are_refused(tmp_path):
    path = tmp_path / "odd.jaxexport"
    for shape, function in (
        ("n, h, w, 4", lambda x: x.mean((1, 2))),
        ("n, h, w, 3", lambda x: x.mean(1)),
        ("n, h, w, 3", lambda x: x.mean((0, 1))),
        ("n, h, w, 3", lambda x: (x.mean((1, 2)), x)),
        ("n, h, w, 3", lambda x: x.mean((1, 2)).astype(jnp.int32)),
    ):
        write(path, function, shape, np.float32)
        with pytest.raises(UserError, match=r"a feature file takes one array of imag"):
            own.load(path)
    with pytest.raises(UserError, match=r"gives float32\[n,h,3\]; a feature file"):
        exported_function.save(lambda x: x.mean(2), tmp_path / "no.jaxexport")
    assert not (tmp_path / "no.jaxexport").exists()
    write(path, embed, "n, h, w, 3", np.float32, platforms=("tpu",))
    with pytest.raises(UserError, match="exported for tpu, not for cpu"):
        own.load(path)


def test_programs_that_call_out_are_refused(tmp_path):
    def calls(images):
        kind = jax.ShapeDtypeStruct((2, 3), jnp.float32)
        return jax.ffi.ffi_call("run_anything", kind)(images)

    path = write(
        tmp_path / "calls.jaxexport",
        calls,
        "2, 4, 4, 3",
        np.float32,
        disabled_checks=[export.DisabledSafetyCheck.custom_call("run_anything")],
        platforms=("cpu",),
    )
    with pytest.raises(UserError, match="calls 'run_anything', which is outside"):
        own.load(path)


def test_damaged_and_unknown_files_are_refused(tmp_path):
    path = tmp_path / "f.jaxexport"
    exported_function.save(embed, path)
    data = path.read_bytes()
    for damaged in (b"", b"x", data[: len(data) // 2], b"PK" + data[2:], b"hello" * 99):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"damaged or no jax\.export file"):
            own.load(path)
    with pytest.raises(UserError, match="there is no such file"):
        own.load(tmp_path / "none.jaxexport")
    with pytest.raises(UserError, match="there is no such file"):
        own.load(tmp_path / "none.safetensors")
    np.savez(tmp_path / "w.npz", weight=MATRIX)
    with pytest.raises(UserError, match=r"of no known kind \(it holds 'weight'"):
        own.load(tmp_path / "w.npz")


def zeros(shapes):
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def test_weights_are_known_by_their_names(tmp_path):
    bias = np.random.RandomState(2).randn(512).astype(np.float32)
    arrays = zeros(squeezenet.shapes())
    arrays["features.12.expand1x1.bias"] = bias[:256]
    arrays["features.12.expand3x3.bias"] = bias[256:]
    arrays["classifier.1.weight"] = np.zeros((10, 512, 1, 1), np.float32)
    safetensors.numpy.save_file(arrays, tmp_path / "mine.safetensors")
    network = own.load(tmp_path / "mine.safetensors")
    assert (network.name, network.size) == ("squeezenet1_1", 512)
    found = network(pictures())
    np.testing.assert_allclose(found, np.tile(np.maximum(bias, 0), (3, 1)), rtol=1e-6)

    np.savez(tmp_path / "vgg.npz", **zeros(vgg16.shapes(dense=False)))
    network = own.load(tmp_path / "vgg.npz")
    assert (network.name, network.size) == ("vgg16", 512)


def test_weights_see_images_as_imagenet_had_them(tmp_path):
    # Of AlexNet's kernels only the centres carry something, one colour each; grey
    # images of one level stay the same through resizing and inner pixels.
    arrays = zeros(alexnet.shapes())
    for index, middle in ((0, 5), (3, 2), (6, 1), (8, 1), (10, 1)):
        for channel in range(3):
            kernel = arrays[f"features.{index}.weight"]
            kernel[channel, channel, middle, middle] = 1
    np.savez(tmp_path / "alex.npz", **arrays)
    network = own.load(tmp_path / "alex.npz")
    assert (network.name, network.size) == ("alexnet", 256)
    levels = np.array([200, 180, 160], np.uint8)
    found = network(np.broadcast_to(levels, (1, 20, 30, 3)).copy())
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = (levels / 255 - mean) / std
    np.testing.assert_allclose(found[0, :3], expected, rtol=1e-5)
    np.testing.assert_array_equal(found[0, 3:], 0)


@pytest.fixture(scope="module")
def stored():
    params = classifier_network.init(jax.random.key(0), 8, 3, 5)
    heads = (
        classifier_file.Head("smile", 2, 0.9),
        classifier_file.Head("hat", 3, 0.8),
    )
    return classifier_file.StoredClassifiers(params, heads, 8, 3, "people")


def test_classifiers_give_their_last_but_one_layer(stored, tmp_path):
    path = tmp_path / "people.safetensors"
    classifier_file.save(path, stored)
    network = own.load(path)
    assert (network.name, network.size) == ("people", classifier_network.SIZE)
    images = pictures(side=8)
    features = np.asarray(network(images), np.float64)
    params = {n: np.asarray(p, np.float64) for n, p in stored.params.items()}
    logits = features @ params["heads.weight"] + params["heads.bias"]
    x = jnp.asarray(images) / 127.5 - 1
    expected = classifier_network.logits(stored.params, x)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    # Cells of equal pixels, and a size that is no multiple.
    large = images.repeat(3, axis=1).repeat(3, axis=2)
    np.testing.assert_allclose(network(large), features, rtol=1e-4, atol=1e-5)
    flat = np.full((1, 13, 13, 3), 77, np.uint8)
    np.testing.assert_allclose(
        network(flat), network(flat[:, :8, :8]), rtol=1e-4, atol=1e-6
    )
    x = jnp.asarray(images, jnp.float32)
    gradient = jax.grad(lambda x: network.function(network.params, x).sum())(x)
    assert np.abs(gradient).max() > 0


def test_the_network_by_definition():
    params = classifier_network.init(jax.random.key(1), 8, 1, 2)
    image = np.random.RandomState(0).uniform(-1, 1, (8, 8, 1))
    x = image
    for index in range(3):
        kernel, bias = (
            np.asarray(params[f"conv{index}.{part}"], np.float64)
            for part in ("weight", "bias")
        )
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        side = len(x)
        rows = [
            [np.tensordot(padded[i : i + 3, j : j + 3], kernel, 3) for j in range(side)]
            for i in range(side)
        ]
        x = np.maximum(np.array(rows) + bias, 0)
        x = x.reshape(side // 2, 2, side // 2, 2, -1).max((1, 3))
    dense = np.asarray(params["hidden.weight"], np.float64)
    expected = np.maximum(x.ravel() @ dense, 0)
    found = classifier_network.features(params, jnp.asarray(image[None], jnp.float32))
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)
    # Images of 64 px are halved once more than those of 32, by a layer of its own.
    assert "conv3.weight" not in classifier_network.shapes(64, 3, 2)
    assert "conv3.weight" in classifier_network.shapes(128, 3, 2)
    assert classifier_network.shapes(128, 3, 2)["hidden.weight"] == (4096, 128)


def test_files_of_classifiers_are_checked(stored, tmp_path):
    path = tmp_path / "c.safetensors"
    classifier_file.save(path, stored)
    loaded = classifier_file.load(path)
    assert loaded.heads == stored.heads and loaded.source == "people"
    assert (loaded.resolution, loaded.channels) == (8, 3)
    for name, array in stored.params.items():
        np.testing.assert_array_equal(loaded.params[name], array)
    arrays = safetensors.numpy.load_file(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        text = file.metadata()["stylegan_jax"]
    for old, new, message in (
        ('"version": 1', '"version": 2', "update stylegan_jax"),
        ('"resolution": 8', '"resolution": 4', "too small to classify"),
        ('"resolution": 8', '"resolution": 16', "does not hold the arrays"),
        ('"channels": 3', '"channels": -1', "no possible classifiers"),
        ('"num_classes": 3', '"num_classes": 1e9', "no possible classifiers"),
    ):
        assert old in text
        changed = {"stylegan_jax": text.replace(old, new)}
        safetensors.numpy.save_file(arrays, path, changed)
        with pytest.raises(UserError, match=message):
            classifier_file.load(path)
    safetensors.numpy.save_file(arrays, path)
    with pytest.raises(UserError, match="is not a file of classifiers"):
        classifier_file.load(path)
