import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from jax import export
from jax.sharding import NamedSharding, PartitionSpec

from stylegan_jax.classifiers import own
from stylegan_jax.errors import UserError
from stylegan_jax.features import exported_function, vgg16
from stylegan_jax.features.lpips import TRUNKS

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


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_it_runs_on_images_that_are_spread_over_devices(tmp_path):
    exported_function.save(embed, tmp_path / "colours.jaxexport")
    images = pictures(8)
    mesh = jax.make_mesh((4,), ("data",))
    spread = jax.device_put(images, NamedSharding(mesh, PartitionSpec("data")))
    found = own.load(tmp_path / "colours.jaxexport")(spread)
    np.testing.assert_allclose(found, embedded(images), rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_functions_of_another_form_are_rejected(tmp_path):
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


def test_programs_that_call_out_are_rejected(tmp_path):
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


@pytest.mark.thorough
def test_damaged_and_unknown_files_are_rejected(tmp_path):
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


@pytest.mark.thorough
def test_weights_are_known_by_their_names(tmp_path):
    bias = np.random.RandomState(2).randn(512).astype(np.float32)
    arrays = zeros(TRUNKS["squeeze"].shapes)
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
    arrays = zeros(TRUNKS["alex"].shapes)
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
