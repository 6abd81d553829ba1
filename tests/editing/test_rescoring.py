import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.distributed import parallel
from stylegan_jax.editing.directions import Direction
from stylegan_jax.editing.rescoring import Rescoring, correct, rescore, summarize
from stylegan_jax.errors import UserError
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import init_generator


@dataclasses.dataclass(frozen=True)
class Brightness:
    """Stands for a classifier: the mean of one channel."""

    channel: int

    def logit(self, images):
        return jnp.mean(images[..., self.channel], axis=(1, 2))


CLASSIFIERS = {"red": Brightness(0), "green": Brightness(1)}
OPTIONS = {"quiet": True, "mesh": None}


@pytest.fixture(scope="module")
def tiny():
    config = ModelConfig(
        resolution=8,
        z_dim=6,
        w_dim=5,
        mapping_layers=2,
        mapping_width=6,
        channel_max=8,
    )
    return jax.jit(init_generator, static_argnums=1)(jax.random.key(3), config)


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


def test_samples_are_moved_truncated_and_classified(tiny):
    mesh = parallel.make_mesh(2)
    shifted = tiny.replace(w_avg=jnp.arange(5.0))
    directions = [
        unit(1, 5, "red", layers=(2, 3)),
        unit(4, 6, "green", space="z"),
    ]
    found = rescore(
        shifted, CLASSIFIERS, directions, [2.0, -1.5], count=10, psi=0.5, mesh=mesh
    )
    # The same samples by hand: keys as documented in `metrics.draws`.
    from stylegan_jax.metrics import draws

    keys = draws.sample_keys(1, jnp.arange(10), 3)
    z = draws.draw_normal(keys[0], 6)

    def logits(z, step):
        ws = tiny.map(z)
        ws = shifted.w_avg[None, None] + 0.5 * (ws - shifted.w_avg[None, None])
        # Noise has no weight in a new network.
        images = np.asarray(tiny.synthesize(ws + step))
        return images.mean(axis=(1, 2))[:, :2]

    before = logits(z, 0)
    step = np.zeros((1, 4, 5), np.float32)
    step[0, 2:, 1] = 2
    first = logits(z, step) - before
    second = logits(z - 1.5 * np.eye(6)[None, 4], 0) - before
    std = before.std(axis=0, ddof=1)
    np.testing.assert_allclose(found.changes[0], first.mean(0) / std, atol=1e-4)
    np.testing.assert_allclose(found.changes[1], second.mean(0) / std, atol=1e-4)
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

    found = correct(given, measure(given, [2.0, 0.5, 1.0]))
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
        correct(given[::-1], measure(given, [1.0, 1.0, 1.0]))
    same = [dataclasses.replace(d, vector=given[0].vector) for d in given]
    with pytest.raises(UserError, match="told apart"):
        correct(same, measure(same, [1.0, 1.0, 1.0]))


def test_mistakes_are_refused(tiny):
    wrong = unit(0, 7, "red")
    with pytest.raises(UserError, match="belongs to another network"):
        rescore(tiny, CLASSIFIERS, [wrong], [1.0], quiet=True)
    with pytest.raises(UserError, match="as many amounts"):
        rescore(tiny, CLASSIFIERS, [wrong], [], quiet=True)
    names = {"directions": ("x",), "attributes": ("red",), "amounts": np.ones(1)}
    with pytest.raises(UserError, match="says the same of all"):
        summarize(np.ones((4, 2, 1)), **names)
    with pytest.raises(UserError, match="1 samples have no spread"):
        summarize(np.ones((1, 2, 1)), **names)
