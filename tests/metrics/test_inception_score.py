import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.metrics.inception_score import inception_score


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("splits10_shuffled2020", {"seed": 2020}),
        ("splits10_inorder", {}),
        ("splits1", {"splits": 1}),
    ],
)
def test_it_agrees_with_the_reference(shared_dir, name, options):
    data = np.load(shared_dir / "reference" / "metrics" / "metrics.npz")
    ours = inception_score(data["is/logits"], **options)
    np.testing.assert_allclose(ours, data[f"is/{name}"], rtol=0, atol=1e-12)


def test_sure_and_even_images_score_the_number_of_classes():
    logits = 1000 * np.tile(np.eye(7), (20, 1))  # exp would overflow
    assert inception_score(logits, splits=10) == pytest.approx((7, 0), abs=1e-9)
    # One class never appears: its share is zero.
    assert inception_score(logits[:, :6][np.arange(140) % 7 < 6], splits=1).mean == (
        pytest.approx(6)
    )


def test_unsure_images_and_a_single_class_score_one():
    assert inception_score(np.zeros((50, 7))) == pytest.approx((1, 0), abs=1e-12)
    single = 1000 * np.tile(np.eye(7)[:1], (50, 1))
    assert inception_score(single) == pytest.approx((1, 0), abs=1e-12)


def test_splits_are_scored_apart():
    # In order every part has one class; one part has all.
    logits = 1000 * np.repeat(np.eye(5), 4, axis=0)
    assert inception_score(logits, splits=5) == pytest.approx((1, 0), abs=1e-9)
    assert inception_score(logits, splits=1).mean == pytest.approx(5)
    # Parts of 2 and of 3 classes.
    logits = 1000 * np.eye(5)
    assert inception_score(logits, splits=2) == pytest.approx((2.5, 0.5))


def test_parts_without_images_are_refused():
    with pytest.raises(UserError, match="9 images in 10 parts"):
        inception_score(np.zeros((9, 3)))
