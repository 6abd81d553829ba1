"""Features that are no numbers: rejected everywhere, and the image named."""

import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.data.sources import ArraySource
from stylegan_jax.errors import UserError
from stylegan_jax.features.extractor import FrozenNetwork
from stylegan_jax.metrics.frechet import RunningStatistics, statistics_of
from stylegan_jax.metrics.inception_score import inception_score
from stylegan_jax.metrics.kernel import kernel_distance, squared_mmd
from stylegan_jax.metrics.measures import take
from stylegan_jax.metrics.names import Measure
from stylegan_jax.metrics.precision_recall import precision_recall
from stylegan_jax.metrics.separability import separability
from stylegan_jax.metrics.task import MeasureOptions
from stylegan_jax.networks.generator import Generator
from tests.metrics.measuring import colours, generator

IMAGES = np.random.RandomState(0).randint(0, 255, (50, 8, 8, 3)).astype(np.uint8)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_measures_of_features_name_the_image(value):
    good = np.random.RandomState(0).randn(40, 5)
    bad = good.copy()
    bad[[17, 30], [2, 3]] = value
    for measure, name in [
        (lambda: kernel_distance(good, bad), "fake image 17"),
        (lambda: kernel_distance(bad, good), "real image 17"),
        (lambda: squared_mmd(bad, good), "real image 17"),
        (lambda: precision_recall(bad, good), "real image 17"),
        (lambda: precision_recall(good, bad), "fake image 17"),
        (lambda: statistics_of([good, bad]), "image 57"),
        (lambda: RunningStatistics().add(bad.astype(np.float32)), "image 17"),
        (lambda: inception_score(bad), "image 17"),
        (lambda: separability(bad, good), "sample 17"),
        (lambda: separability(good, bad), "sample 17"),
    ]:
        with pytest.raises(UserError, match=rf"of {name} are not finite \(2 of 40"):
            measure()


def test_the_image_of_the_data_is_named():
    def function(params, images):
        found = colours().function(params, images)
        odd = (images == 7).all((1, 2, 3))
        return jnp.where(odd[:, None], jnp.nan, found)

    network = FrozenNetwork("odd", 12, {"scale": jnp.float32(1)}, function)
    images = IMAGES.copy()
    images[33] = 7
    options = MeasureOptions(features=network, quiet=True, cache=False, batch_size=8)
    for kind in ("fid", "kid"):
        with pytest.raises(UserError, match="image 33 of photos are not finite"):
            take(generator(), ArraySource(images, "photos"), Measure(kind, 50), options)


@pytest.mark.thorough
@pytest.mark.parametrize(("kind", "name"), [("kid", "sample"), ("ppl_wend", "path")])
def test_a_picture_that_is_no_number_is_not_grey(monkeypatch, kind, name):
    synthesize = Generator.synthesize

    def broken(self, ws, noise=None):
        images = synthesize(self, ws, noise)
        odd = jnp.arange(len(images))[:, None, None, None] == 2
        return jnp.where(odd, jnp.nan, images)

    monkeypatch.setattr(Generator, "synthesize", broken)
    options = MeasureOptions(features=colours(), quiet=True, cache=False)
    with pytest.raises(UserError, match=f"{name} 2 are not finite"):
        take(generator(), ArraySource(IMAGES), Measure(kind, 12), options)
