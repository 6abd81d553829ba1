import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.distributed import parallel
from stylegan_jax.editing import rescoring
from stylegan_jax.editing.directions import Direction, signed_distance
from stylegan_jax.editing.rescoring import (
    Rescoring,
    correct,
    draw_rows,
    rescore,
    summarize,
)
from stylegan_jax.errors import UserError
from stylegan_jax.metrics import draws
from tests import tiny


@dataclasses.dataclass(frozen=True)
class Brightness:
    """Stands for a classifier: the mean of one channel."""

    channel: int

    def logit(self, images):
        return jnp.mean(images[..., self.channel], axis=(1, 2))


CLASSIFIERS = {"red": Brightness(0), "green": Brightness(1)}
TABLE = Rescoring(
    directions=("age", "smile_c_age", "sefa1"),
    attributes=("age", "smile"),
    changes=np.array([[1.2, -0.3], [0.0, 0.5], [0.1, 0.2]]),
    errors=np.full((3, 2), 0.01),
    amounts=np.array([2.0, 1.5, -1.0]),
    stds=np.array([3.0, 4.0]),
    count=100,
)


@pytest.fixture(scope="module")
def generator():
    return tiny.generator(tiny.MODEL_8)


def unit(index, size, name, **options):
    return Direction(name=name, vector=np.eye(size)[index], **options)


def test_changes_are_the_mean_differences_in_standard_deviations():
    logits = np.array(
        [
            [[0.0, 0.0], [2.0, 1.0], [0.0, -1.0]],
            [[2.0, 4.0], [6.0, 5.0], [2.0, 3.0]],
            [[4.0, 8.0], [7.0, 9.0], [4.0, 7.0]],
        ]
    )
    found = summarize(
        logits,
        directions=("red_c_green", "pca1"),
        attributes=("red", "green"),
        amounts=np.ones(2),
    )
    np.testing.assert_allclose(found.stds, [2, 4])
    np.testing.assert_allclose(found.changes, [[1.5, 0.25], [0, -0.25]])
    np.testing.assert_allclose(found.errors[0, 0], 0.5 / np.sqrt(3))
    assert found.own(0) == 0 and found.own(1) is None
    assert found.selectivity(0) == pytest.approx(6)
    assert found.selectivity(1) == np.inf
    turned = dataclasses.replace(found, directions=("green", "blue"))
    assert turned.selectivity(0) == pytest.approx(1 / 6)
    downwards = dataclasses.replace(turned, changes=-found.changes)
    assert downwards.selectivity(0) == pytest.approx(-1 / 6)


@pytest.mark.thorough
def test_samples_are_moved_and_classified(generator):
    mesh = parallel.make_mesh(2)
    directions = [
        unit(1, 6, "red", layers=(2, 3)),
        unit(4, 6, "green", space="z"),
    ]
    found = rescore(
        generator, CLASSIFIERS, directions, [2.0, -1.5], count=10, mesh=mesh
    )
    # The same samples by hand: keys as documented in `metrics.draws`.
    keys = draws.sample_keys(1, jnp.arange(10), 3)
    z = draws.draw_normal(keys[0], 6)
    noise = draws.draw_noise(generator, keys[2])

    @jax.jit
    def logits(z, step):
        images = generator.synthesize(generator.map(z) + step, noise)
        return images.mean(axis=(1, 2))[:, :2]

    step = np.zeros((3, 1, 4, 6), np.float32)
    step[1, 0, 2:, 1] = 2
    turn = np.zeros((3, 1, 6), np.float32)
    turn[2, 0, 4] = -1.5
    before, first, second = (np.asarray(logits(z + turn[i], step[i])) for i in range(3))
    std = before.std(axis=0, ddof=1)
    expected = [(after - before).mean(0) / std for after in (first, second)]
    np.testing.assert_allclose(found.changes, expected, atol=1e-4)
    np.testing.assert_allclose(found.stds, std, rtol=1e-4)
    assert found.count == 10 and found.attributes == ("red", "green")


def test_corrected_directions_change_their_own_attribute_alone():
    """Attributes that are linear in w, so that first order is all there is."""
    draw = np.random.RandomState(0)
    slopes, stds = draw.randn(5, 3), np.array([1.0, 3.0, 0.5])
    names = ("age", "smile", "pose")
    given = [
        Direction(name=name, vector=draw.randn(5), intercept=draw.randn())
        for name in names
    ]

    def measure(directions, amounts):
        changes = [
            a * d.vector @ slopes / stds
            for a, d in zip(amounts, directions, strict=True)
        ]
        return Rescoring(
            directions=tuple(d.name for d in directions),
            attributes=("pose", "age", "smile"),
            changes=np.stack(changes),
            errors=np.zeros((3, 3)),
            amounts=np.array(amounts),
            stds=stds,
            count=9,
        )

    found = correct(given, measure(given, [2.0, 0.5, 1.0]), 1)
    after = measure(found, [1.0, 1.0, 1.0])
    for row in range(3):
        own = after.own(row)
        assert after.changes[row, own] > 0.01
        np.testing.assert_allclose(np.delete(after.changes[row], own), 0, atol=1e-9)
        assert np.linalg.norm(found[row].vector) == pytest.approx(1)
    # Their planes share with the given ones the points that these have in common.
    vectors = np.stack([d.vector for d in given])
    common = np.linalg.lstsq(vectors, [-d.intercept for d in given], rcond=None)[0]
    for direction in found:
        assert direction.vector @ common == pytest.approx(-direction.intercept)
    with pytest.raises(UserError, match="cannot be corrected"):
        correct(given[::-1], measure(given, [1.0, 1.0, 1.0]), 1)
    same = [dataclasses.replace(d, vector=given[0].vector) for d in given]
    with pytest.raises(UserError, match="told apart"):
        correct(same, measure(same, [1.0, 1.0, 1.0]), 1)


def test_directions_of_different_layers_are_corrected_together():
    """Attributes that are linear in each layer's w."""
    draw = np.random.RandomState(1)
    slopes = draw.randn(4, 5, 2)
    given = [
        Direction(name="a", vector=draw.randn(5), intercept=0.3, layers=(0, 2)),
        Direction(name="b", vector=draw.randn(5), intercept=-0.7),
    ]

    def measure(directions):
        changes = [np.tensordot(d.rows(4), slopes, 2) for d in directions]
        return Rescoring(
            directions=("a", "b"),
            attributes=("a", "b"),
            changes=np.stack(changes),
            errors=np.zeros((2, 2)),
            amounts=np.ones(2),
            stds=np.ones(2),
            count=9,
        )

    found = correct(given, measure(given), 4)
    after = measure(found).changes
    np.testing.assert_allclose(after - np.diag(np.diag(after)), 0, atol=1e-9)
    assert (np.diag(after) > 0.01).all()
    # What lies on both given planes lies on the new ones.
    sums = np.stack([d.rows(4).ravel() / d.rows(4).any(axis=1).sum() for d in given])
    common = np.linalg.lstsq(sums, [-d.intercept for d in given], rcond=None)[0]
    for one in found:
        distance = signed_distance(common.reshape(1, 4, 5), one)
        np.testing.assert_allclose(distance, 0, atol=1e-5)


def test_mistakes_are_told(generator):
    wrong = unit(0, 7, "red")
    with pytest.raises(UserError, match="belongs to another network"):
        rescore(generator, CLASSIFIERS, [wrong], [1.0], quiet=True)
    names = {"directions": ("x",), "attributes": ("red",), "amounts": np.ones(1)}
    with pytest.raises(UserError, match="says the same of all"):
        summarize(np.ones((4, 2, 1)), **names)
    with pytest.raises(UserError, match="1 samples have no spread"):
        summarize(np.ones((1, 2, 1)), **names)


def test_a_table_is_written_as_markdown():
    assert TABLE.to_markdown().splitlines() == [
        "| direction | age | smile | own / largest other |",
        "| --- | --- | --- | --- |",
        "| age by +2.00 | **+1.20** | -0.30 | 4.0 |",
        "| smile_c_age by +1.50 | +0.00 | **+0.50** | inf |",
        "| sefa1 by -1.00 | +0.10 | +0.20 |  |",
    ]


def test_json_is_strict_and_has_every_number():
    record = json.loads(json.dumps(TABLE.to_json(), allow_nan=False))
    age, smile, sefa = record["directions"]
    assert age["changes"] == {"age": 1.2, "smile": -0.3} and age["amount"] == 2.0
    assert age["own_over_largest_other"] == pytest.approx(4)
    assert smile["own_over_largest_other"] is None
    assert sefa["own_over_largest_other"] is None
    assert record["logit_stds"] == {"age": 3.0, "smile": 4.0}
    assert record["count"] == 100


def test_pictures_are_of_the_people_moved_by_steps_of_standard_deviations(monkeypatch):
    monkeypatch.setattr(
        rescoring.grids,
        "labelled",
        lambda pictures, columns, **_: np.reshape(pictures, (-1, columns, 8, 8, 3)),
    )
    generator = tiny.generator(dataclasses.replace(tiny.MODEL_8, label_size=2))
    synthesize = jax.jit(generator.synthesize)
    in_w = Direction(name="x", vector=np.arange(6.0), std=2.0, layers=(0, 1))
    in_z = Direction(name="y", vector=np.arange(6.0), space="z")
    z = np.random.RandomState(0).randn(2, 6).astype(np.float32)
    label = np.array([[0, 1]], np.float32)
    shown = draw_rows(generator, [in_w, in_z], (-1, 0, 2), z, labels=label, psi=0.5)

    def drawn(z, step):
        ws = 0.5 * generator.w_avg[None, None] + 0.5 * generator.map(z, label)
        image = np.asarray(synthesize(ws + step))[0]
        return np.clip(np.floor(image * 127.5 + 128), 0, 255)

    rows = in_w.rows(4).astype(np.float32)[None]
    expected = {
        (0, 0): drawn(z[:1], -2 * rows),
        (1, 2): drawn(z[1:], 4 * rows),
        (1, 1): drawn(z[1:], 0),
        (2, 2): drawn(z[:1] + 2 * in_z.vector[None].astype(np.float32), 0),
    }
    for (row, column), image in expected.items():
        assert np.abs(shown[row, column] - image).max() <= 1
    assert np.abs(shown[0, 0].astype(int) - shown[0, 1]).max() > 2
