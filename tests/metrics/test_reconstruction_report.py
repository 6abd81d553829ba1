import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.metrics import reconstruction
from stylegan_jax.metrics.reconstruction import (
    UNIFORM,
    cosine_similarity,
    identity_score,
    report,
    ssim,
    table,
    text,
)


def colours():
    """The mean of each channel above 50."""
    return FrozenNetwork(
        "colours", 3, {}, lambda _, x: x.astype(jnp.float32).mean((1, 2)) - 50
    )


def flat(*levels, side=12):
    """An image of one colour each."""
    shape = (len(levels), side, side, 3)
    return np.broadcast_to(np.array(levels, np.uint8)[:, None, None], shape).copy()


def test_cosines_of_known_angles():
    a = jnp.array([[3.0, 4.0], [1.0, 0.0], [1e-3, 0.0], [2e4, 0.0], [0.0, 0.0]])
    b = jnp.array([[3.0, 4.0], [0.0, 7.0], [-5.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    expected = [1, 0, -1, np.sqrt(0.5), 0]
    np.testing.assert_allclose(cosine_similarity(a, b), expected, atol=1e-6)
    # The derivative: of the part of b across a, over both lengths; finite at 0.
    gradient = jax.jit(jax.grad(lambda a: cosine_similarity(a, b).sum()))(a)
    np.testing.assert_allclose(gradient[1], [0, 1], atol=1e-6)
    assert np.isfinite(gradient).all()


def test_identity_is_the_angle_between_features():
    a = flat([150, 50, 50], [90, 80, 50])
    b = flat([150, 150, 50], [90, 80, 50], side=5)
    expected = [np.sqrt(0.5), 1]
    np.testing.assert_allclose(identity_score(colours(), a, b), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="takes uint8"):
        identity_score(colours(), a / 255, b)


def test_scores_are_of_images_rounded_to_256_levels():
    a = flat([100, 100, 100], [40, 50, 60], [9, 9, 9])
    b = flat([110, 110, 110], [43, 50, 60], [9, 9, 9])
    scores = report(a, b, identity=colours())
    assert set(scores) == {"psnr", "ssim_gaussian", "ssim_uniform", "identity"}
    mse = np.array([100, 9 / 3, 0])
    with np.errstate(divide="ignore"):
        expected = 10 * np.log10(255**2 / mse)
    np.testing.assert_allclose(scores["psnr"], expected, rtol=1e-5)
    # Flat images: only the brightness is left.
    c = (0.01 * 255) ** 2
    light = (2 * 100 * 110 + c) / (100**2 + 110**2 + c)
    for name in ("ssim_gaussian", "ssim_uniform"):
        np.testing.assert_allclose(scores[name][0], light, rtol=1e-4)
        np.testing.assert_allclose(scores[name][2], 1, rtol=1e-6)
    assert all(score.dtype == np.float32 for score in scores.values())
    # As floats in [-1, 1], nearly half a level off, and beyond the range.
    floats = [images / 127.5 - 1 for images in (a, b)]
    shaken = report(floats[0] + 0.49 / 127.5, floats[1] - 0.45 / 127.5)
    np.testing.assert_array_equal(shaken["psnr"], scores["psnr"])
    beyond = report(np.full((1, 4, 4, 3), 1.4), flat([255, 255, 255], side=4))
    assert set(beyond) == {"psnr"} and np.isposinf(beyond["psnr"][0])


def test_conventions_of_ssim_go_by_their_names():
    draw = np.random.RandomState(0)
    a, b = draw.randint(256, size=(2, 1, 9, 9, 1), dtype=np.uint8)
    scores = report(a, b)
    assert set(scores) == {"psnr", "ssim_uniform"}  # 9 px have no window of 11
    x, y = (jnp.asarray(image, jnp.float32) / 255 for image in (a, b))
    expected = ssim(x, y, value_range=(0, 1), convention=UNIFORM)
    np.testing.assert_allclose(scores["ssim_uniform"], expected, rtol=1e-4)


def test_lpips_sees_the_rounded_images_in_its_range(monkeypatch):
    monkeypatch.setattr(
        reconstruction,
        "_distance",
        lambda params, a, b: params["scale"] * np.abs(a - b).sum((1, 2, 3)),
    )
    params = {"scale": jnp.float32(2)}
    a, b = flat(*([[9, 9, 9]] * 18), side=2), flat(*([[9, 9, 60]] * 18), side=2)
    scores = report(a, b, lpips_params=params)
    np.testing.assert_allclose(scores["lpips"], [2 * 4 * 51 / 127.5] * 18, rtol=1e-5)
    grey = report(a[..., :1], b[..., 2:], lpips_params=params)
    np.testing.assert_allclose(grey["lpips"], 3 * scores["lpips"], rtol=1e-5)


def test_images_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"are not images .* of one shape"):
        report(flat([1, 2, 3]), flat([1, 2, 3], side=13))


def test_scores_are_written_for_people():
    scores = {"psnr": 10.0, "ssim_gaussian": 0.5, "ssim_uniform": 0.4}
    line = text(scores | {"identity": 0.25})
    assert line == "PSNR dB 10.00, SSIM 0.5000, identity 0.2500"
    # What one image lacks is not shown.
    rows = {"a": [{"name": "w", **scores}], "b": [{"name": "w", "psnr": 13.0}]}
    expected = ["| image | w: PSNR dB |", "|---|---|", "| a | 10.00 |", "| b | 13.00 |"]
    assert table(rows).splitlines() == [*expected, "| mean | 11.50 |"]
