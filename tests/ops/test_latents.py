import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.ops import latents


@pytest.mark.parametrize("cutoff", [8, None])
def test_truncation_moves_the_first_layers_towards_the_mean(cutoff):
    draw = np.random.RandomState(0)
    ws, mean = draw.randn(2, 10, 4).astype("f"), draw.randn(4).astype("f")
    expected = ws.copy()
    expected[:, :cutoff] = mean + 0.7 * (ws[:, :cutoff] - mean)
    found = latents.truncate(ws, mean, 0.7, cutoff)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("crossover", [2, [1, 4]], ids=["of all", "of each"])
def test_styles_below_the_crossover_come_from_the_first_latent(crossover):
    at = jnp.array(crossover).reshape(-1, 1, 1)
    mixed = latents.mix_styles(jnp.zeros((2, 5, 2)), jnp.ones((2, 5, 2)), at)
    expected = np.arange(5) >= np.broadcast_to(np.array(crossover), 2)[:, None]
    np.testing.assert_array_equal(mixed[..., 1], expected)


def test_crossovers_are_uniform_with_the_given_probability_and_else_none():
    keys = jax.random.split(jax.random.key(0), 20_000)
    draws = jax.vmap(lambda key: latents.draw_crossover(key, 0.9, 6))(keys)
    shares = np.bincount(draws, minlength=8) / len(draws)
    # 1 to 5 equally often, 6 (no mixing) in a tenth, 0 and 7 never; 5 sigma is 0.014.
    np.testing.assert_allclose(shares, [0, *[0.18] * 5, 0.1, 0], atol=0.014)
    assert shares[0] == shares[7] == 0


def test_noise_has_one_unit_normal_image_per_layer(key):
    noise = latents.draw_noise(key, 3, 8)
    assert [n.shape for n in noise] == [
        (3, size, size, 1) for size in (4, 4, 8, 8, 16, 16, 32, 32)
    ]
    np.testing.assert_allclose(noise[7].std(), 1, atol=0.05)
    np.testing.assert_allclose(noise[7].mean(), 0, atol=0.08)
    correlation = np.corrcoef(noise[6].ravel(), noise[7].ravel())[0, 1]
    assert abs(correlation) < 0.08
    assert latents.draw_noise(key, 3, 0) == ()


def test_slerp_goes_along_the_great_circle():
    a, b = jnp.array([[2.0, 0.0, 0.0]]), jnp.array([[0.0, 3.0, 0.0]])
    angle = 0.3 * np.pi / 2
    expected = [[np.cos(angle), np.sin(angle), 0]]
    np.testing.assert_allclose(latents.slerp(a, b, 0.3), expected, atol=1e-6)


def test_slerp_of_any_vectors_has_the_closed_form_of_their_directions():
    draw = np.random.RandomState(0)
    a, b = draw.randn(5, 8), draw.randn(5, 8)
    t = np.array([[0.0], [0.2], [0.5], [0.9], [1.0]])
    p = a / np.linalg.norm(a, axis=1, keepdims=True)
    q = b / np.linalg.norm(b, axis=1, keepdims=True)
    angle = np.arccos(np.sum(p * q, axis=1, keepdims=True))
    expected = np.sin((1 - t) * angle) * p + np.sin(t * angle) * q
    expected = expected / np.sin(angle)
    actual = latents.slerp(*(jnp.asarray(x, jnp.float32) for x in (a, b, t)))
    np.testing.assert_allclose(actual, expected, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 2.5, -1.0, -3.0])
def test_slerp_between_one_line_s_directions_is_finite_and_meets_its_ends(scale):
    a = np.random.RandomState(1).randn(20, 8).astype("f")
    t = np.array([[[0.0]], [[0.25]], [[0.5]], [[1.0]]], "f")
    found = np.asarray(latents.slerp(a[None], scale * a[None], t))
    unit = a / np.linalg.norm(a, axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(found[0], unit, atol=1e-5)
    np.testing.assert_allclose(found[-1], np.sign(scale) * unit, atol=1e-5)
    # A quarter of the way: 45 degrees to the opposite, none to itself.
    cosine = np.cos(np.pi / 4) if scale < 0 else 1
    np.testing.assert_allclose((found[1] * unit).sum(-1), cosine, atol=1e-5)


def test_slerp_of_nothing_is_finite():
    zero, one = jnp.zeros((1, 4)), jnp.ones((1, 4))
    for a, b in [(zero, zero), (zero, one), (one, zero)]:
        assert jnp.isfinite(latents.slerp(a, b, 0.5)).all()


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((8, 12), r"\[8, 12\] are not \[N, 8, 12\]; for one image: ws\[None\]"),
        ((3, 12), r"w\.reshape\(-1, 1, 12\)\.repeat\(8, 1\)"),
        ((12,), r"w\.reshape\(-1, 1, 12\)\.repeat\(8, 1\)"),
        ((3, 1, 12), r"w\.reshape\(-1, 1, 12\)\.repeat\(8, 1\)"),
        ((1, 18, 12), "this belongs to another network"),
        ((2, 8, 512), "this belongs to another network"),
        ((1, 1, 8, 12), "one w per layer and image"),
        ((), "one w per layer and image"),
    ],
)
def test_codes_of_another_shape_are_refused_in_one_way(shape, hint):
    with pytest.raises(UserError, match=hint):
        latents.check_ws(np.zeros(shape), 8, 12)
    if "repeat" in hint:  # what the message says works
        fixed = np.zeros(shape).reshape(-1, 1, 12).repeat(8, 1)
        latents.check_ws(fixed, 8, 12)
