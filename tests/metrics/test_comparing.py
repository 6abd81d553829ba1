"""Images against images, each of which counts once."""

import numpy as np
import pytest

from stylegan_jax.data.portraits.source import Portraits
from stylegan_jax.data.sources import ArraySource
from stylegan_jax.errors import UserError
from stylegan_jax.io.images import write_png
from stylegan_jax.metrics.frechet import frechet_distance, statistics_of
from stylegan_jax.metrics.kernel import kernel_distance
from stylegan_jax.metrics.measures import compare, fid, kid, take
from stylegan_jax.metrics.names import Measure
from stylegan_jax.metrics.precision_recall import precision_recall
from stylegan_jax.metrics.task import MeasureOptions, make_task
from tests.metrics.measuring import colours, generator

OPTIONS = {"features": colours(), "cache": False}


def pictures(count, seed, shift=0):
    """Levels with a random colour each, uint8 `[N, 8, 8, 3]`."""
    random = np.random.RandomState(seed)
    base = random.randint(30, 200, (count, 1, 1, 3)) + shift
    return (base + random.randint(0, 20, (count, 8, 8, 3))).astype(np.uint8)


MADE, DATA = pictures(30, 0, shift=20), pictures(24, 1)


def folder(path, images):
    path.mkdir()
    for i, image in enumerate(images):
        write_png(path / f"{i:03}.png", image)
    return path


def test_two_folders_score_as_their_features_do(tmp_path):
    made, data = folder(tmp_path / "made", MADE), folder(tmp_path / "data", DATA)
    of_made, of_data = (np.asarray(colours()(x)) for x in (MADE, DATA))
    expected = frechet_distance(statistics_of([of_data]), statistics_of([of_made]))
    assert fid(str(made), data, **OPTIONS) == pytest.approx(expected, rel=1e-5)
    assert fid(MADE, DATA, **OPTIONS) == pytest.approx(expected, rel=1e-5)
    distance = kernel_distance(of_data, of_made).mean
    assert kid(made, data, **OPTIONS) == pytest.approx(distance, rel=1e-4)
    shares = precision_recall(of_data, of_made)
    found = compare(made, data, "pr", **OPTIONS).values()
    assert [*found] == [shares.precision, shares.recall]
    # Of as many as are asked for.
    chosen = of_data[[0, 2, 4, 7, 9, 12, 14, 16, 19, 21]]
    some = frechet_distance(statistics_of([chosen]), statistics_of([of_made[::3]]))
    assert fid(MADE, DATA, 10, **OPTIONS) == pytest.approx(some, rel=1e-5)


def test_images_of_two_sizes_are_compared_at_the_smaller_of_what_was_made():
    large = MADE.repeat(2, axis=1).repeat(2, axis=2)
    assert fid(MADE, large, **OPTIONS) == pytest.approx(0, abs=1e-6)
    assert fid(large, MADE, resolution=8, **OPTIONS) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("count", [24, 48, 1000])
def test_images_are_not_counted_twice(count):
    """Precision of samples beside the data does not fall with the number asked for."""
    near = ArraySource(np.concatenate([DATA, DATA + 1])[:count])
    options = MeasureOptions(resolution=8, quiet=True, **OPTIONS)
    found = take(near, ArraySource(DATA), Measure("pr", count), options)
    precision, _ = found.values()
    assert precision == 1
    said = make_task(near, ArraySource(DATA), Measure("pr", count), options).about()
    assert said["reals"] == said["images"] == 24
    assert said["samples"] == min(count, 48)
    assert said["fingerprint"] == ArraySource(DATA).fingerprint(range(24), 8)


def test_a_generator_draws_as_many_as_are_asked_for_or_as_there_are():
    made, source = generator(), ArraySource(DATA)
    names = compare(made, DATA, "fid,kid40", **OPTIONS).keys()
    assert names == {"fd24[colours]", "kd40[colours]"}
    said = make_task(
        made, source, Measure("kid", 40), MeasureOptions(**OPTIONS)
    ).about()
    assert (said["samples"], said["reals"]) == (40, 24)


def test_what_means_nothing_is_rejected(tmp_path):
    for made, data, names, message in [
        (MADE, DATA[:3], "pr", r"3 images, .* counts once; pr means nothing with .* 4"),
        (MADE[:3], DATA, "pr", "3 fake ones; at least 4"),
        (MADE, DATA[:1], "kid", "fewer than 2"),
        (MADE, None, "fid", "compares with data, and none is given"),
        (MADE, DATA, "ppl_wend", "is a measure of networks, and the array is images"),
        (MADE / 255, DATA, "fid", "images are uint8"),
        (Portraits(9), DATA, "fid", "give the resolution to compare at"),
        (tmp_path / "none", DATA, "fid", "there is no folder"),
    ]:
        with pytest.raises(UserError, match=message):
            compare(made, data, names, **OPTIONS)
