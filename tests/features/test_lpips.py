import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.features import lpips, vgg16, weights
from stylegan_jax.features.lpips import TRUNKS
from tests.features import reference

ARCHITECTURES = {"vgg": "vgg16", "alex": "alexnet", "squeeze": "squeezenet1_1"}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def network(request):
    return request.param


@pytest.fixture(scope="module")
def params(shared_dir, network):
    stored = np.load(shared_dir / f"data/weights/lpips_lin_v0.1_{network}.npz")
    linear = {
        f"{name}.model.1.weight": stored[name].reshape(1, -1, 1, 1) for name in stored
    }
    assert {n: array.shape for n, array in linear.items()} == lpips.shapes(network)
    return lpips.convert(reference.weights(ARCHITECTURES[network], shared_dir), linear)


@pytest.fixture(scope="module")
def expected(shared_dir, network):
    return np.load(shared_dir / f"reference/metrics/lpips_{network}.npz")


@pytest.fixture(scope="module")
def pairs(expected):
    return [
        jnp.asarray(expected[f"in{i}_u8"].astype(np.float32) / 127.5 - 1)
        for i in (0, 1)
    ]


def total(params, a, b):
    return lpips.distance(params, a, b).sum()


@pytest.mark.thorough
def test_distances_agree_with_the_reference(params, expected, pairs):
    run, units = jax.jit(lpips.layer_distances), jax.jit(lpips.units)
    layers = run(params, *pairs)
    assert reference.relative(layers, expected["per_layer"]) < 5e-5
    whole = jax.jit(lpips.distance)(params, *pairs)
    assert reference.relative(whole, expected["distance"]) < 2e-5
    names = [name for name in params if name.startswith("lin")]
    plain = params | {name: jnp.ones_like(params[name]) for name in names}
    whole = run(plain, *pairs).sum(1)
    assert reference.relative(whole, expected["distance_lpips_false"]) < 2e-5
    # What is compared with the same image again is kept.
    found = lpips.compare(params, units(params, pairs[0]), units(params, pairs[1]))
    np.testing.assert_allclose(found, layers, rtol=1e-6)
    assert (np.asarray(run(params, pairs[0], jnp.array(pairs[0]))) == 0).all()


@pytest.mark.thorough
def test_the_gradient_agrees_with_the_reference(params, expected, pairs):
    a, b = (images[:1] for images in pairs)
    slope = jax.jit(jax.grad(total, argnums=1))(params, a, b)
    entry = "grad_in0_pair0_chw"
    some = reference.samples(slope, expected[f"{entry}/stride"])[0]
    assert reference.error(some, expected[f"{entry}/sub"]) < 1e-3
    length = np.linalg.norm(slope)
    assert reference.relative(length, expected[f"{entry}/l2norm"]) < 1e-3


def test_the_digests_are_those_of_the_reference(expected, network):
    assert weights.LPIPS[network].sha256 == expected["lin_pth_sha256"]


# --- Without the reference -----------------------------------------------------------


VGG = [1.0041214, 0.5793878, 0.3615399, 0.1775489, 0.0996198]
ALEX = [1.2310472, 0.4481899, 0.1925046, 0.1565879, 0.1235233]
SQUEEZE = [1.2206171, 0.3616331, 0.190059, 0.1065304, 0.1274023, 0.1142784, 0.1151198]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("network", "numbers"), [("vgg", VGG), ("alex", ALEX), ("squeeze", SQUEEZE)]
)
def test_layers_are_what_they_were_when_they_agreed_with_the_reference(
    network, numbers
):
    """Of a picture and its mirror image, channels unweighted; this runs everywhere."""
    trunk = {
        name: reference.make_tensor(ARCHITECTURES[network], name, shape)
        for name, shape in TRUNKS[network].shapes.items()
    }
    ones = {name: np.ones(shape) for name, shape in lpips.shapes(network).items()}
    a = jnp.asarray(reference.picture()[:, :, :48], jnp.float32) / 127.5 - 1
    run = jax.jit(lpips.layer_distances)
    found = run(lpips.convert(trunk, ones), a, a[:, :, ::-1])
    np.testing.assert_allclose(found[0], numbers, rtol=1e-4)


def test_layers_are_weighted_by_channel_averaged_over_pixels_and_kept_apart():
    a = [np.zeros((1, 2, 2, 2), np.float32) for _ in range(5)]
    b = [np.zeros((1, 2, 2, 2), np.float32) for _ in range(5)]
    b[1][0, 1, 0] = [2, 3]
    params = {f"lin{i}.model.1.weight": jnp.array([1.0, 10.0]) for i in range(5)}
    found = lpips.compare(params, a, b)
    np.testing.assert_array_equal(found, [[0, (4 + 90) / 4, 0, 0, 0]])


@pytest.mark.thorough
def test_features_that_are_all_zero_have_no_length_and_no_slope():
    """Where no unit fires, as often in flat images, nothing becomes NaN."""
    narrow = {
        name: jnp.zeros((3, 3, 3, 3) if name.endswith("weight") else (3,))
        for name in vgg16.shapes(dense=False)
    } | {f"lin{i}.model.1.weight": jnp.ones(3) for i in range(5)}
    image = jnp.ones((1, 16, 16, 3))
    value_and_slope = jax.jit(jax.value_and_grad(total, argnums=1))
    value, slope = value_and_slope(narrow, jnp.zeros((1, 16, 16, 3)), image)
    assert value == 0
    np.testing.assert_array_equal(slope, 0)


def test_tables_count_what_torchvision_publishes():
    """61 100 840 and 1 235 496 parameters with classes."""
    alex = sum(np.prod(shape) for shape in TRUNKS["alex"].shapes.values())
    assert alex == 61_100_840 - 9217 * 4096 - 4097 * 4096 - 4097 * 1000
    squeeze = sum(np.prod(shape) for shape in TRUNKS["squeeze"].shapes.values())
    assert squeeze == 1_235_496 - 513 * 1000


def test_unknown_networks_are_an_error():
    with pytest.raises(UserError, match="'vgg19'; they are alex, squeeze, vgg"):
        lpips.load("vgg19")
    with pytest.raises(UserError, match=r"not LPIPS's parameters; lpips\.load"):
        lpips.units({}, jnp.zeros((1, 8, 8, 3)))
