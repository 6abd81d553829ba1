"""Samples of conditional networks have the data's labels, as often as it has them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.commands import coverage
from stylegan_jax.data.sources import ArraySource
from stylegan_jax.editing.components import statistics_of_w
from stylegan_jax.errors import UserError
from stylegan_jax.metrics import measures, task
from stylegan_jax.metrics.draws import (
    LabelDistribution,
    draw_labels,
    label_distribution,
    labels_for,
)
from stylegan_jax.metrics.names import Measure
from stylegan_jax.metrics.separability import sample_for_separability
from stylegan_jax.metrics.task import MeasureOptions
from stylegan_jax.networks.generator import Generator
from tests import tiny
from tests.metrics.measuring import MODEL, colours, generator

KEYS = jax.random.split(jax.random.key(0), 3000)
ONE_HOT = np.eye(3, dtype=np.float32)
VECTORS = np.array([[0.5, 2, 0], [0, 0, 0], [-1, 7, 7]], np.float32)
LEVELS = np.array([[20, 40, 60], [200, 100, 0], [90, 90, 90]])
UNEVEN = [0] * 30 + [1] * 60  # the third class has no image


class Labelled(ArraySource):
    """Images of a colour for each class, with some noise; sorted by class."""

    def __init__(self, classes, vectors=ONE_HOT):
        self.classes, self.vectors = np.asarray(classes), vectors
        noise = np.random.RandomState(0).randint(0, 9, (len(classes), 8, 8, 3))
        images = LEVELS[self.classes][:, None, None] + noise
        super().__init__(images.astype(np.uint8), "labelled")
        self.label_size = vectors.shape[1]

    def label(self, index):
        return self.vectors[self.classes[index]]


def conditional():
    return tiny.generator(dataclasses.replace(MODEL, label_size=3))


@pytest.mark.parametrize("vectors", [ONE_HOT, VECTORS], ids=["classes", "vectors"])
def test_labels_are_drawn_as_often_as_the_data_has_them(vectors):
    found = label_distribution(Labelled(UNEVEN, vectors))
    assert sorted(found.counts.tolist()) == [30, 60]
    drawn = np.asarray(draw_labels(conditional(), found, KEYS))
    shares = [(drawn == vector).all(axis=1).mean() for vector in vectors]
    # Five standard deviations.
    np.testing.assert_allclose(shares, [1 / 3, 2 / 3, 0], atol=0.044)
    np.testing.assert_array_equal(drawn, draw_labels(conditional(), found, KEYS))


def test_labels_that_are_not_known_are_not_made_up():
    for source, said in [
        (None, "no data is known"),
        (ArraySource(np.zeros((4, 8, 8, 3), np.uint8)), "has labels of no classes"),
        (Labelled(UNEVEN, VECTORS[:, :2]), "has labels of 2"),
    ]:
        with pytest.raises(UserError, match=rf"3 classes, and .*{said}.*`data.labels`"):
            labels_for(conditional(), source)
    with pytest.raises(UserError, match=r"LabelDistribution.even\(3\)"):
        draw_labels(conditional(), None, KEYS)
    assert labels_for(generator(), None) is None
    assert draw_labels(generator(), None, KEYS) is None


@pytest.fixture
def perfect(monkeypatch):
    """A generator that draws each class as the data has it."""

    def sample(self, z, *, labels, psi, noise=None):
        level = labels @ jnp.asarray(LEVELS, jnp.float32)
        apart = 9 * jax.scipy.stats.norm.cdf(z[:, :1]) - 0.5
        pixels = (level + apart)[:, None, None]
        return jnp.broadcast_to(pixels, (len(z), 8, 8, 3)) / 127.5 - 1

    monkeypatch.setattr(Generator, "sample", sample)
    return conditional()


@pytest.mark.thorough
@pytest.mark.parametrize("count", [90, 30])  # of images sorted by class
def test_a_perfect_generator_scores_like_the_data(perfect, monkeypatch, count):
    source = Labelled(UNEVEN)
    options = MeasureOptions(features=colours(), quiet=True, cache=False)

    def score():
        measure = Measure("fid", count)
        (found,) = measures.take(perfect, source, measure, options).values()
        return found

    scores = [score()]
    even = LabelDistribution.even(3)
    monkeypatch.setattr(task, "labels_for", lambda generator, _: even)
    assert scores[0] < 0.1 * score()


@pytest.mark.thorough
def test_all_that_draws_samples_takes_the_labels():
    made = conditional()
    only_second = label_distribution(Labelled([1] * 4))
    label = jnp.asarray(ONE_HOT[1:2])

    class Mean:
        def logit(self, images):
            return images.mean((1, 2, 3))

    found = sample_for_separability(
        made, {"mean": Mean()}, 8, labels=only_second, quiet=True
    )
    ws = made.map(jnp.asarray(found.z), label.repeat(8, 0))
    np.testing.assert_allclose(found.w, ws[:, -1], atol=1e-5)
    statistics = statistics_of_w(made, 400, labels=only_second, quiet=True)
    z = jax.random.normal(jax.random.key(3), (4000, MODEL.z_dim))
    expected = np.asarray(made.map(z, label.repeat(4000, 0))[:, -1])
    apart = np.abs(statistics.mean - expected.mean(0)) / expected.std(0)
    assert apart.max() < 0.25
    even = statistics_of_w(made, 400, labels=LabelDistribution.even(3), quiet=True)
    assert (np.abs(even.mean - expected.mean(0)) / expected.std(0)).max() > 0.3


def test_coverage_draws_the_classes_of_the_data(perfect):
    drawn = coverage.draw(perfect, Labelled(UNEVEN), 3000, 0)
    nearest = np.abs(drawn.mean((1, 2))[:, None] - LEVELS).sum(2).argmin(1)
    shares = np.bincount(nearest, minlength=3) / 3000
    np.testing.assert_allclose(shares, [1 / 3, 2 / 3, 0], atol=0.044)
