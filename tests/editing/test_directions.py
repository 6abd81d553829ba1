import jax
import numpy as np
import pytest

from stylegan_jax.editing.directions import (
    Direction,
    apply,
    condition,
    signed_distance,
)
from stylegan_jax.errors import UserError


def random_direction(seed, *shape, name="smile", **options):
    vector = np.random.RandomState(seed).randn(*shape)
    return Direction(name=name, vector=vector, **options)


@pytest.fixture
def ws():
    """Three codes of four layers with six dimensions, no two rows alike."""
    return np.random.RandomState(9).randn(3, 4, 6).astype(np.float32)


def test_length_is_one_and_the_plane_stays_where_it_was():
    vector = np.array([3.0, 0.0, -4.0])
    direction = Direction(name="x", vector=vector, intercept=10.0)
    np.testing.assert_allclose(direction.vector, [0.6, 0, -0.8])
    on_plane = np.array([[-2.0, 5.0, 1.0]])  # 3 * -2 - 4 * 1 + 10 = 0
    assert float(signed_distance(on_plane, direction)[0]) == pytest.approx(0, abs=1e-6)
    beyond = on_plane + np.array([[0.6, 7, -0.8]]) * [[2, 1, 2]]
    assert float(signed_distance(beyond, direction)[0]) == pytest.approx(2, abs=1e-5)


def test_equal_rows_are_the_same_direction_as_one_of_them(ws):
    one = random_direction(0, 6, intercept=0.7)
    many = Direction(
        name="x",
        vector=np.tile(one.vector * 5, (4, 1)),
        intercept=one.intercept * 5,
    )
    for distance in ("relative", "absolute"):
        np.testing.assert_allclose(
            apply(ws, one, 1.5, distance=distance),
            apply(ws, many, 1.5, distance=distance),
            atol=1e-6,
        )


def test_relative_adds_one_vector_to_every_layer_and_compiles_once(ws):
    direction, traces = random_direction(1, 6), []

    @jax.jit
    def move(ws, amount):
        traces.append(1)
        return apply(ws, direction, amount, distance="relative")

    for amounts in np.array([[1.0, -2.0, 0.5], [3.0, 0.0, 1.0]]):
        expected = ws + amounts[:, None, None] * direction.vector
        np.testing.assert_allclose(move(ws, amounts), expected, atol=1e-6)
    assert len(traces) == 1


def test_absolute_equals_the_public_interpolation():
    """`linear_interpolate` of genforce/interfacegan, for one code `[1, D]`."""
    direction = random_direction(2, 6)
    code = np.random.RandomState(3).randn(1, 6)
    for target in np.linspace(-3.0, 3.0, 4):
        moved = apply(code, direction, float(target), distance="absolute")
        expected = code + (target - code @ direction.vector) * direction.vector
        np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_absolute_brings_all_codes_to_one_distance_and_keeps_layers_apart(ws):
    direction = random_direction(4, 6, intercept=0.3)
    moved = apply(ws, direction, 2.0, distance="absolute")
    np.testing.assert_allclose(signed_distance(moved, direction), 2.0, atol=1e-5)
    mean = (np.asarray(moved) @ direction.vector).mean(1) + direction.intercept
    np.testing.assert_allclose(mean, 2.0, atol=1e-5)
    np.testing.assert_allclose(np.diff(moved, axis=1), np.diff(ws, axis=1), atol=1e-5)
    # The same code in all layers: the distance of that code.
    w = ws[:, 0]
    same = apply(np.repeat(w[:, None], 4, 1), direction, 2.0, distance="absolute")
    one = apply(w, direction, 2.0, distance="absolute")
    np.testing.assert_allclose(same[:, 3], one, atol=1e-5)


@pytest.mark.parametrize("distance", ["relative", "absolute"])
def test_layers_restrict_the_move_and_the_measure(ws, distance):
    direction = random_direction(5, 6, layers=(1, 2), intercept=0.2)
    moved = np.asarray(apply(ws, direction, 1.0, distance=distance))
    np.testing.assert_array_equal(moved[:, [0, 3]], ws[:, [0, 3]])
    assert np.abs(moved[:, 1:3] - ws[:, 1:3]).max() > 0.1
    if distance == "absolute":
        mean = (moved[:, 1:3] @ direction.vector).mean(1) + direction.intercept
        np.testing.assert_allclose(mean, 1.0, atol=1e-5)
    elsewhere = np.asarray(apply(ws, direction, 1.0, distance=distance, layers=[3]))
    np.testing.assert_array_equal(elsewhere[:, :3], ws[:, :3])
    assert np.abs(elsewhere[:, 3] - ws[:, 3]).max() > 0.1


def test_condition_on_one_and_on_two_are_the_papers_formulas():
    a, b = random_direction(7, 6, name="age"), random_direction(8, 6, name="glasses")
    expected = a.vector - (a.vector @ b.vector) * b.vector
    found = condition(a, [b])
    np.testing.assert_allclose(found.vector, expected / np.linalg.norm(expected))
    assert found.name == "age_c_glasses"
    assert condition(a, []) is a
    a, b, c = (random_direction(seed, 6) for seed in (10, 11, 12))
    ab, ac, bc = a.vector @ b.vector, a.vector @ c.vector, b.vector @ c.vector
    alpha, beta = (ab - ac * bc) / (1 - bc**2), (ac - ab * bc) / (1 - bc**2)
    expected = a.vector - alpha * b.vector - beta * c.vector
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(condition(a, [b, c]).vector, expected, atol=1e-12)


def test_mistakes_are_told(ws):
    direction = random_direction(0, 6)
    by_layer = random_direction(0, 3, 6)
    in_z = random_direction(0, 6, space="z")
    for message, call in [
        (
            "6 dimensions and does not fit codes of shape",
            lambda: apply(ws[..., :5], direction, 1, distance="relative"),
        ),
        ("is for 3 layers", lambda: apply(ws, by_layer, 1, distance="relative")),
        ("is in z", lambda: apply(ws, in_z, 1, distance="relative")),
        ("not relative or absolute", lambda: apply(ws, direction, 1, distance="far")),
        (
            "not some of 0 to 3",
            lambda: apply(ws, direction, 1, distance="relative", layers=[4]),
        ),
        ("acts on layers", lambda: apply(ws[:, 0], by_layer, 1, distance="relative")),
        ("is zero", lambda: Direction(name="x", vector=np.zeros(4))),
        ("not finite", lambda: Direction(name="x", vector=np.array([1, np.nan]))),
        ("must be different", lambda: random_direction(0, 6, layers=(1, 1))),
        ("from 0 to 2", lambda: random_direction(0, 3, 6, layers=(3,))),
        ("which has no layers", lambda: random_direction(0, 3, 6, space="z")),
        ("std 0", lambda: random_direction(0, 6, std=0)),
        ("nothing is left", lambda: condition(direction, [direction])),
        ("cannot be kept", lambda: condition(direction, [in_z])),
    ]:
        with pytest.raises(UserError, match=message):
            call()


ALL, SOME = {"shape": (6,)}, {"shape": (4, 6)}


@pytest.mark.parametrize(
    ("primary", "others", "shared"),  # whether all act where the first one does
    [
        (ALL, [ALL] * 4, True),
        (SOME, [ALL], True),
        (SOME, [{**ALL, "layers": (2,)}], True),
        (ALL, [{**ALL, "layers": (0, 3)}], False),
        ({**SOME, "layers": (0, 1)}, [{**SOME, "layers": (1, 2)}], False),
        ({**ALL, "layers": (0, 3)}, [SOME, ALL], False),
        (
            {**SOME, "layers": (0, 1, 2)},
            [{**SOME, "layers": (0, 1)}, {**ALL, "layers": (2,)}],
            True,
        ),
    ],
)
def test_condition_keeps_distances_and_the_common_plane(primary, others, shared, ws):
    def make(seed, shape, layers=None):
        intercept = np.random.RandomState(seed).randn()
        return random_direction(seed, *shape, layers=layers, intercept=intercept)

    first = make(41, **primary)
    kept = [make(42 + i, **other) for i, other in enumerate(others)]
    found = condition(first, kept, name="only")
    assert found.layers == first.layers and found.name == "only"
    moved = apply(ws, found, 3.0, distance="relative")
    for other in kept:
        np.testing.assert_allclose(
            signed_distance(moved, other), signed_distance(ws, other), atol=1e-5
        )
    moved_by = signed_distance(moved, first) - signed_distance(ws, first)
    assert (np.asarray(moved_by) > 0.2).all()  # it still does what it is for
    if not shared:
        return
    # Codes that are on all planes: a mean over acting layers, plus the intercept, is 0.
    every = [first, *kept]
    rows = np.stack([d.rows(4).reshape(-1) for d in every])
    aims = [-d.intercept * np.sum(d.rows(4) ** 2) for d in every]
    common = np.linalg.lstsq(rows, aims, rcond=None)[0].reshape(1, 4, 6)
    for direction in [*every, found]:
        distance = float(signed_distance(common, direction)[0])
        assert distance == pytest.approx(0, abs=1e-4)


def test_condition_is_free_where_nothing_is_shared():
    first = random_direction(44, 6, layers=(0, 1))
    found = condition(first, [random_direction(45, 6, layers=(2, 3))])
    np.testing.assert_allclose(found.vector, first.vector)


def test_a_direction_is_shown_in_a_line():
    text = repr(random_direction(0, 18, 512))
    assert "vector=float64[18,512]" in text and len(text) < 200
