import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.features import vgg16
from stylegan_jax.features.frozen_layers import resize_tf1
from tests.features import reference

I2S_TAPS = (1, 3, 13, 20)


@pytest.fixture(scope="module")
def arrays(shared_dir):
    return reference.weights("vgg16", shared_dir)


@pytest.fixture(scope="module")
def params(arrays):
    return vgg16.convert(arrays)


@pytest.fixture(scope="module")
def expected(shared_dir):
    return np.load(shared_dir / "reference/metrics/vgg16.npz")


def test_the_table_has_every_name_and_shape_of_torchvision(arrays):
    table = {name: array.shape for name, array in arrays.items()}
    assert vgg16.shapes(dense=False) == table


def test_the_table_counts_what_torchvision_publishes():
    """138 357 544 parameters with the 1000 classes that are not used here."""
    sizes = [np.prod(shape) for shape in vgg16.shapes(dense=True).values()]
    assert sum(sizes) == 138_357_544 - 4097 * 1000


@pytest.mark.thorough
@pytest.mark.parametrize("images", ["a", "b"])
def test_taps_agree_with_the_reference(params, expected, images):
    x = vgg16.normalise(expected[f"{images}/input_u8"].astype(np.float32) / 255)
    wanted = tuple(int(tap) for tap in expected["taps"])
    found = jax.jit(vgg16.taps, static_argnums=2)(params, x, wanted)
    assert tuple(found) == wanted
    for tap, array in found.items():
        entry = f"{images}/tap{tap}"
        some = reference.samples(array, expected[f"{entry}/stride"])
        assert reference.error(some, expected[f"{entry}/sub"]) < 5e-5
        means = np.asarray(array).mean((1, 2))
        assert reference.error(means, expected[f"{entry}/chmean"]) < 5e-5
        wide = np.asarray(array, np.float64)
        pixels = (1, 2, 3)
        assert reference.relative(wide.mean(pixels), expected[f"{entry}/mean"]) < 1e-5
        assert reference.relative(wide.std(pixels), expected[f"{entry}/std"]) < 1e-5


@pytest.mark.thorough
def test_a_perceptual_loss_and_its_gradient_agree_with_the_reference(params, expected):
    def loss(params, x, y):
        found = [
            vgg16.taps(params, vgg16.normalise(image), I2S_TAPS) for image in (x, y)
        ]
        terms = [((found[0][i] - found[1][i]) ** 2).mean() for i in I2S_TAPS]
        return sum(terms), jnp.stack(terms)

    x, y = expected["a/input_u8"].astype(np.float32)[:, None] / 255
    value_and_slope = jax.value_and_grad(loss, argnums=1, has_aux=True)
    (total, terms), slope = jax.jit(value_and_slope)(params, x, y)
    assert reference.relative(total, expected["i2s/loss"]) < 1e-5
    assert reference.relative(terms, expected["i2s/terms"]) < 1e-5
    some = reference.samples(slope, expected["i2s/grad_x01_chw/stride"])[0]
    assert reference.error(some, expected["i2s/grad_x01_chw/sub"]) < 1e-3


def test_a_tap_that_does_not_exist_is_an_error():
    for wrong in ((3, 4), ()):
        with pytest.raises(UserError, match=r"no ReLU at .*; they are \(1, 3, 6"):
            vgg16.taps({}, jnp.zeros((1, 8, 8, 3)), wrong)


# --- Dense layers, of a narrow network, against NumPy in PyTorch's layout ------------


def narrow_arrays(width=6, dense=12):
    random = np.random.RandomState(0)
    made = {}
    for name in vgg16.shapes(dense=False):
        inputs = 3 if name == "features.0.weight" else width
        shape = (width, inputs, 3, 3) if name.endswith("weight") else (width,)
        made[name] = random.randn(*shape) * (0.2 if len(shape) > 1 else 0.1)
    for index, inputs in ((0, width * 49), (3, dense)):
        made[f"classifier.{index}.weight"] = random.randn(dense, inputs) * 0.3
        made[f"classifier.{index}.bias"] = random.randn(dense) * 0.1
    return made


def numpy_fc2(arrays, x):
    """`[N, 3, 224, 224]`, normalised, to the second dense layer after its ReLU."""
    for index in range(31):
        if f"features.{index}.weight" in arrays:
            padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
            kernel = arrays[f"features.{index}.weight"]
            height, width = x.shape[2:]
            x = sum(
                np.einsum(
                    "nihw,oi->nohw",
                    padded[:, :, i : i + height, j : j + width],
                    kernel[:, :, i, j],
                )
                for i in range(3)
                for j in range(3)
            )
            bias = arrays[f"features.{index}.bias"]
            x = np.maximum(x + bias[None, :, None, None], 0)
        elif index in (4, 9, 16, 23, 30):
            n, c, height, width = x.shape
            x = x.reshape(n, c, height // 2, 2, width // 2, 2).max((3, 5))
    x = x.reshape(len(x), -1)
    for index in (0, 3):
        weight = arrays[f"classifier.{index}.weight"]
        x = np.maximum(x @ weight.T + arrays[f"classifier.{index}.bias"], 0)
    return x


def test_the_second_dense_layer_agrees_with_numpy():
    arrays = narrow_arrays()
    images = np.random.RandomState(1).randint(256, size=(2, 40, 50, 3), dtype=np.uint8)
    extract = vgg16.fc2_extractor(vgg16.convert(arrays))
    assert (extract.name, extract.size) == ("vgg16-fc2", 4096)
    x = np.asarray(resize_tf1(jnp.asarray(images, jnp.float32), 224, 224), np.float64)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    want = numpy_fc2(arrays, ((x / 255 - mean) / std).transpose(0, 3, 1, 2))
    assert (want > 0).any(0).sum() > 3  # not a test of zeros
    assert reference.error(extract(images), want) < 1e-5
