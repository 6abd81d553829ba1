import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.features import inception
from stylegan_jax.features.inception import Conv, Pool
from tests.features import reference

IMAGES = range(4)


@pytest.fixture(scope="module")
def arrays(shared_dir):
    return reference.weights("inception", shared_dir)


@pytest.fixture(scope="module")
def params(arrays):
    return inception.convert(arrays)


@pytest.fixture(scope="module")
def expected(shared_dir):
    return np.load(shared_dir / "reference/metrics/inception.npz")


def test_the_table_has_every_name_and_shape_of_the_pytorch_network(arrays):
    used = {
        name: array.shape
        for name, array in arrays.items()
        if not name.endswith("num_batches_tracked")
    }
    assert inception.shapes() == used


def test_the_table_counts_what_the_paper_has():
    kernels = [s for n, s in inception.shapes().items() if n.endswith("conv.weight")]
    assert len(kernels) == 94
    assert sum(np.prod(shape) for shape in inception.shapes().values()) == 23_885_392


@pytest.mark.parametrize("image", IMAGES)
def test_images_are_resized_like_the_reference(expected, image):
    x = inception.preprocess(expected[f"img{image}/input_u8"][None]) * 128 + 128
    want = expected[f"img{image}/resized_chw/sub"]
    found = reference.samples(x, expected[f"img{image}/resized_chw/stride"])[0]
    assert np.abs(found - want).max() < 2e-5


@pytest.mark.thorough
@pytest.mark.parametrize("output", inception.OUTPUTS)
def test_outputs_agree_with_the_reference(params, expected, output):
    network = inception.extractor(params, output)
    for image in IMAGES:
        found = network(expected[f"img{image}/input_u8"][None])
        assert found.shape == (1, inception.OUTPUTS[output])
        assert reference.error(found[0], expected[f"img{image}/{output}"]) < 5e-5


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("output", "numbers"),
    [
        ("2048", (0.844649, 1.074725, 2.365882, 0.0)),
        ("logits_unbiased", (-0.046989, 1.881938, 3.900486, 3.885236)),
    ],
)
def test_outputs_are_what_they_were_when_they_agreed_with_the_reference(
    output, numbers
):
    """Mean, deviation, first and last number of each; this runs everywhere."""
    made = {
        name: reference.make_tensor("inception", name, shape)
        for name, shape in inception.shapes().items()
    }
    network = inception.extractor(inception.convert(made), output)
    array = network(reference.picture())
    some = (array.mean(), array.std(), array[0, 0], array[0, -1])
    np.testing.assert_allclose(some, numbers, atol=1e-4)


@pytest.mark.thorough
def test_a_batch_is_its_images_one_by_one(params, expected):
    pool = inception.extractor(params)
    image = expected["img0/input_u8"]
    found = pool(np.stack([image, image[::-1]]))
    assert (pool.name, pool.size) == ("inception-2015-2048", 2048)
    assert reference.error(found[0], expected["img0/2048"]) < 5e-5
    assert reference.error(found[1], expected["img0/2048"]) > 1e-2


def test_an_unknown_output_is_an_error():
    with pytest.raises(UserError, match="no output '64'; they are 2048, logits"):
        inception.extractor({}, "64")


def test_a_mean_is_over_the_pixels_that_exist():
    x = np.random.RandomState(0).randn(1, 4, 5, 2).astype(np.float32)
    found = inception._apply({}, "", jnp.asarray(x), Pool("avg"))
    for row in range(4):
        for column in range(5):
            rows = slice(max(row - 1, 0), row + 2)
            columns = slice(max(column - 1, 0), column + 2)
            want = x[0, rows, columns].mean((0, 1))
            np.testing.assert_allclose(found[0, row, column], want, atol=1e-6)


def test_batch_normalisation_becomes_a_part_of_the_convolution():
    random = np.random.RandomState(0)
    kernel = random.randn(3, 2, 1, 1)
    gamma, beta, mean = random.randn(3, 3)
    variance = random.rand(3) / 100  # so small that epsilon counts
    x = random.randn(1, 4, 4, 2)
    arrays = {
        "a.conv.weight": kernel,
        "a.bn.weight": gamma,
        "a.bn.bias": beta,
        "a.bn.running_mean": mean,
        "a.bn.running_var": variance,
        "fc.weight": np.zeros((1, 1)),
        "fc.bias": np.zeros(1),
    }
    found = inception._apply(
        inception.convert(arrays), "", jnp.asarray(x, jnp.float32), Conv("a", 3)
    )
    product = np.einsum("nhwi,oi->nhwo", x, kernel[:, :, 0, 0])
    want = gamma * (product - mean) / np.sqrt(variance + 0.001) + beta
    np.testing.assert_allclose(found, np.maximum(want, 0), rtol=1e-4, atol=1e-4)
