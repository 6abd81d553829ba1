"""Order, mirroring, resuming, sharding and memory of the batches."""

import contextlib
import subprocess
import sys
import threading

import numpy as np
import pytest

from stylegan_jax.data.sources import Source
from stylegan_jax.data.stream import Decoded, batches, mirrored, order
from stylegan_jax.errors import UserError


class Numbered(Source):
    """Image `i` holds `i` in its left half and 0 in its right one; class `i % 3`."""

    name, num_channels, label_size = "numbered", 1, 3

    def __init__(self, size):
        self.size = size
        self.calls: list[tuple[int, int]] = []

    def __len__(self):
        return self.size

    def image(self, index, resolution):
        assert 0 <= index < self.size
        self.calls.append((index, resolution))
        image = np.zeros((resolution, resolution, 1), np.uint8)
        image[:, : resolution // 2] = index + 1
        return image

    def label(self, index):
        return np.eye(3, dtype=np.float32)[index % 3]


def opened(decoded=None, **options):
    settings = dict(
        resolution=4, repeats=2, batch_size=6, start_nimg=0, seed=5, mirror=True
    )
    decoded = decoded or Decoded(Numbered(50), 0)
    return contextlib.closing(batches(decoded, **(settings | options)))


def take(count, decoded=None, **options):
    """The next `count` elements, flattened to `[images, ...]`."""
    with opened(decoded, **options) as iterator:
        elements = [next(iterator) for _ in range(count)]
    return {
        key: np.concatenate([e[key].reshape(-1, *e[key].shape[2:]) for e in elements])
        for key in ("images", "labels")
    }


def numbers(images):
    """Which image it is, negative when it is flipped."""
    left, right = images[:, 0, 0, 0].astype(int), images[:, 0, -1, 0].astype(int)
    return left - right


def test_an_element_has_the_documented_shapes_and_types():
    options = {"process_index": 1, "process_count": 2}
    with opened(resolution=8, repeats=3, batch_size=4, **options) as iterator:
        batch = next(iterator)
    assert batch["images"].shape == (3, 2, 8, 8, 1)
    assert batch["images"].dtype == np.uint8
    assert batch["labels"].shape == (3, 2, 3)
    assert batch["labels"].dtype == np.float32


def test_each_epoch_shows_every_image_once_in_an_order_of_its_own():
    seen = np.abs(numbers(take(25, repeats=1, batch_size=10)["images"])).reshape(5, 50)
    np.testing.assert_array_equal(np.sort(seen, 1), np.tile(np.arange(1, 51), (5, 1)))
    assert len({tuple(order) for order in seen}) == 5
    assert not (seen[0] == np.arange(1, 51)).all()


def test_labels_belong_to_their_images():
    batch = take(10)
    expected = (np.abs(numbers(batch["images"])) - 1) % 3
    np.testing.assert_array_equal(batch["labels"], np.eye(3)[expected])


@pytest.mark.parametrize("nimg", [12, 48, 60, 132])  # inside, across and after epochs
def test_a_restart_continues_the_same_stream(nimg):
    straight = take(20)
    resumed = take(20 - nimg // 12, start_nimg=nimg)
    np.testing.assert_array_equal(resumed["images"], straight["images"][nimg:])
    np.testing.assert_array_equal(resumed["labels"], straight["labels"][nimg:])


def test_another_batch_size_or_resolution_continues_the_same_stream():
    straight = numbers(take(20)["images"])
    other = take(6, start_nimg=36, repeats=4, batch_size=8, resolution=16)["images"]
    assert other.shape[1:] == (16, 16, 1)
    np.testing.assert_array_equal(numbers(other), straight[36 : 36 + 192])


@pytest.mark.parametrize("start_nimg", [0, 7, 48])
def test_blocks_of_two_processes_are_the_minibatches_of_one(start_nimg):
    one = take(12, start_nimg=start_nimg)["images"]
    two = [
        take(12, start_nimg=start_nimg, process_index=i, process_count=2)["images"]
        for i in (0, 1)
    ]
    # 24 minibatches of 6 images, of which each process has 3.
    both = np.concatenate([half.reshape(24, 3, -1) for half in two], axis=1)
    np.testing.assert_array_equal(both.reshape(one.shape), one)


def test_half_of_the_images_are_mirrored_anew_in_each_epoch():
    indices, flips = order(np.arange(20_000), 2000, seed=0, mirror=True)
    # Binomial: standard deviation 0.0035 of the mean.
    assert abs(flips.mean() - 0.5) < 0.014
    by_image = np.zeros((10, 2000), bool)
    by_image[np.arange(20_000) // 2000, indices] = flips
    often = by_image.sum(0)  # of ten epochs, binomial with variance 2.5
    assert abs(often.var() - 2.5) < 0.4
    assert not order(np.arange(4000), 2000, seed=0, mirror=False)[1].any()


def test_mirroring_reverses_columns_and_nothing_else():
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 2), dtype=np.uint8)
    np.testing.assert_array_equal(mirrored(images), images[:, :, ::-1])
    signs = numbers(take(20)["images"])
    assert (signs < 0).any()
    assert (signs > 0).any()
    assert (numbers(take(20, mirror=False)["images"]) > 0).all()


def test_the_seed_decides_order_and_mirroring():
    np.testing.assert_array_equal(take(5)["images"], take(5)["images"])
    assert (take(5)["images"] != take(5, seed=6)["images"]).any()


def test_a_batch_larger_than_the_data_holds_several_epochs():
    few = Decoded(Numbered(4), 0)
    seen = np.abs(numbers(take(1, few, repeats=1, batch_size=12)["images"]))
    assert sorted(seen) == sorted([1, 2, 3, 4] * 3)


@pytest.mark.parametrize("fit", [0, 1, 20, 50, 1000])
def test_memory_of_any_size_changes_nothing_but_the_number_of_decodings(fit):
    source = Numbered(50)
    cached = take(25, Decoded(source, fit * 16))
    np.testing.assert_array_equal(cached["images"], take(25)["images"])
    source.calls.clear()
    assert take(25, Decoded(source, fit * 16))["images"].shape == (300, 4, 4, 1)
    decoded = [index for index, _ in source.calls]
    held = min(fit, 50)
    # An image twice in one batch may be decoded twice before it is remembered.
    assert all(decoded.count(index) <= 2 for index in range(held))
    assert all(decoded.count(index) >= 6 for index in range(held, 50))


def test_one_memory_serves_every_phase_of_a_resolution():
    source = Numbered(50)
    decoded = Decoded(source, 10**6)
    for start_nimg in (0, 120, 240):
        take(10, decoded, start_nimg=start_nimg)
    assert {resolution for _, resolution in source.calls} == {4}
    assert len(source.calls) < 100
    images = take(10, decoded, resolution=8)["images"]
    np.testing.assert_array_equal(images, take(10, resolution=8)["images"])


def test_many_threads_get_the_right_images():
    decoded = Decoded(Numbered(200), 10**6)
    wrong = []

    def read(seed):
        for step in range(20):
            rng = np.random.default_rng([seed, step])
            indices = rng.integers(0, 200, 64)
            resolution = (4, 8)[step // 10]
            images = decoded.images(indices, resolution)
            if (images[:, 0, 0, 0] != indices + 1).any():
                wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_error_of_the_source_reaches_the_trainer():
    class Broken(Numbered):
        def image(self, index, resolution):
            raise UserError("most images are damaged")

    with opened(Decoded(Broken(5), 0)) as iterator:
        with pytest.raises(UserError, match="most images are damaged"):
            next(iterator)
        assert next(iterator, None) is None  # no batch is skipped


def test_a_batch_must_be_divisible_among_the_processes():
    with pytest.raises(UserError, match="6 is not divisible by 4 processes"):
        take(1, batch_size=6, process_count=4)


@pytest.mark.thorough
def test_closing_ends_the_threads():
    before = threading.active_count()
    with opened() as iterator:
        next(iterator)
        assert threading.active_count() > before
    del iterator
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(5)
    assert threading.active_count() <= before


@pytest.mark.thorough
def test_a_program_ends_though_its_iterator_was_never_closed():
    program = """
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.stream import Decoded, batches
from stylegan_jax.data.sources import open_source

iterator = batches(Decoded(open_source(DataConfig()), 10**8), resolution=8, repeats=1,
                   batch_size=4, start_nimg=0, seed=0, mirror=True)
print(next(iterator)["images"].shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(1, 4, 8, 8, 3)"
    assert "Error" not in done.stderr
