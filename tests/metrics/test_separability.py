import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.distributed import parallel
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.draws import LabelDistribution
from stylegan_jax.metrics.separability import (
    conditional_entropy,
    confident,
    sample_for_separability,
    separability,
)
from tests import tiny


@pytest.fixture(scope="module")
def reference(shared_dir):
    with np.load(shared_dir / "reference" / "metrics" / "separability.npz") as file:
        return dict(file)


@pytest.mark.parametrize("space", ["z", "w"])
def test_equals_the_reference_numbers(reference, space):
    found = separability(reference[space], reference["logits"])
    np.testing.assert_array_equal(
        found.confusion, reference[f"{space}/confusion_rows_svm_cols_target"]
    )
    for kind in ("conditional_entropy_nvlabs_f32", "conditional_entropy_exact"):
        np.testing.assert_allclose(
            found.entropies, reference[f"{space}/{kind}"], rtol=0, atol=1e-6
        )
    for kind in ("score_nvlabs", "score_exact"):
        assert found.score == pytest.approx(float(reference[f"{space}/{kind}"]), 1e-6)


def test_keeps_the_samples_that_the_reference_keeps(reference):
    for logits, expected in zip(
        reference["logits"].T, reference["kept_indices_sorted"], strict=True
    ):
        kept = confident(logits, int(reference["num_keep"]))
        np.testing.assert_array_equal(np.sort(kept), expected)


def test_entropies_of_the_reference_tables(reference):
    found = [conditional_entropy(counts) for counts in reference["tables/counts"]]
    expected = reference["tables/cond_entropy_exact"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("table", "bits"),
    [
        ([[7, 0], [0, 3]], 0.0),
        ([[0, 7], [3, 0]], 0.0),  # always wrong tells as much as always right
        ([[1, 1], [1, 1]], 1.0),
        ([[4, 4], [0, 8]], 0.5),  # the columns given the rows, not the reverse
        ([[3, 1], [0, 0]], 2 - 0.75 * np.log2(3)),
    ],
)
def test_entropies_of_tables_made_by_hand(table, bits):
    assert conditional_entropy(np.array(table)) == pytest.approx(bits, abs=1e-12)


def test_the_surest_are_kept_and_equals_keep_their_order():
    logits = np.array([0.5, -3.0, 8.4, 1.0, -9.0, 3.0, 30.0])
    # In float32 the probability of 8.4, 9 and 30 is 1.
    assert confident(logits, 6).tolist() == [2, 4, 6, 1, 5, 3]
    assert confident(np.array([8.2, 8.4]), 2).tolist() == [1, 0]


def test_separable_latents_score_one_and_unrelated_ones_two():
    draw = np.random.RandomState(0)
    latents = draw.randn(4000, 4)
    plane = latents @ [1.0, -2.0, 0.5, 0.0]
    assert separability(latents, plane[:, None]).score == 1
    coin = draw.randn(4000, 1)
    assert separability(latents, coin).score == pytest.approx(2, abs=0.01)
    both = separability(latents, np.concatenate([plane[:, None], coin, coin], 1))
    assert both.score == pytest.approx(4, abs=0.03)
    assert both.confusion.sum(axis=(1, 2)).tolist() == [2000] * 3


def test_half_a_plane_of_noise_has_the_entropy_of_its_coin():
    draw = np.random.RandomState(1)
    latents = draw.randn(20_000, 2)
    sign = np.sign(latents[:, 0]) * np.where(draw.rand(20_000) < 0.9, 1, -1)
    found = separability(latents, sign[:, None], keep=20_000)
    expected = -0.9 * np.log2(0.9) - 0.1 * np.log2(0.1)
    assert found.entropies[0] == pytest.approx(expected, abs=0.02)


def test_one_class_counts_as_perfect():
    found = separability(np.random.RandomState(0).randn(40, 3), np.ones((40, 1)))
    assert found.score == 1 and found.confusion.tolist() == [[[20, 0], [0, 0]]]


def test_mistakes_are_explained():
    latents, logits = np.zeros((10, 2)), np.ones((10, 1))
    with pytest.raises(UserError, match=r"must be \[N, D\] and \[N, K\]"):
        separability(latents, logits[:9])
    with pytest.raises(UserError, match="11 of 10 samples cannot be kept"):
        separability(latents, logits, keep=11)
    with pytest.raises(UserError, match="no classifiers"):
        sample_for_separability(tiny.generator(tiny.MODEL_8), {}, 4)


@dataclasses.dataclass(frozen=True)
class Brightness:
    """Stands for a classifier: the mean of one channel."""

    channel: int

    def logit(self, images):
        return jnp.mean(images[..., self.channel], axis=(1, 2))


@pytest.fixture(scope="module")
def conditional():
    return tiny.generator(dataclasses.replace(tiny.MODEL_8, label_size=3))


@pytest.mark.thorough
def test_samples_are_untruncated_and_labelled_in_the_order_of_the_classifiers(
    conditional,
):
    params = jax.tree_util.tree_map_with_path(
        lambda path, x: 0 * x if "noise" in str(path) else x, conditional.params
    )
    made = conditional.replace(params=params)  # images follow from w
    # A mean of w far away: truncation would show.
    found = sample_for_separability(
        made.replace(w_avg=made.w_avg + 100),
        {"green": Brightness(1), "red": Brightness(0)},
        300,
        seed=5,
        labels=LabelDistribution.even(3),
    )
    assert found.names == ("green", "red")
    assert found.z.shape == (300, 6) and found.logits.shape == (300, 2)
    assert abs(found.z.mean()) < 0.1 and abs(found.z.std() - 1) < 0.05
    ws = jnp.broadcast_to(found.w[:, None], (300, 4, 6))
    images = np.asarray(made.synthesize(ws))
    expected = images.mean(axis=(1, 2))[:, [1, 0]]
    np.testing.assert_allclose(found.logits, expected, atol=1e-5)
    # Every w is what z gives for one of the classes, and all classes occur.
    candidates = [
        made.map(found.z, jnp.tile(jax.nn.one_hot(i, 3)[None], (300, 1)))
        for i in range(3)
    ]
    apart = [np.abs(ws[:, -1] - found.w).max(axis=1) for ws in candidates]
    assert np.min(apart, axis=0).max() < 1e-5
    assert np.bincount(np.argmin(apart, axis=0), minlength=3).min() > 60


@pytest.mark.thorough
def test_samples_depend_on_their_index_alone(conditional):
    def draw(count, batch_size, devices, seed=0):
        options = {"batch_size": batch_size, "mesh": parallel.make_mesh(devices)}
        options["labels"] = LabelDistribution.even(3)
        return sample_for_separability(
            conditional, {"red": Brightness(0)}, count, seed, **options
        )

    one = draw(50, 50, 1)
    for other in (draw(50, 4, 1), draw(37, 8, 4)):
        n = len(other.z)
        np.testing.assert_array_equal(other.z, one.z[:n])
        np.testing.assert_allclose(other.w, one.w[:n], atol=1e-6)
        np.testing.assert_allclose(other.logits, one.logits[:n], atol=1e-5)
    assert not np.any(draw(4, 4, 1, seed=1).z == one.z[:4])
