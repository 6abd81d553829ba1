"""Figures show what the network draws, compared with pictures drawn one by one."""

import dataclasses

import jax
import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.figures import nearest_rows, noise, samples, styles
from stylegan_jax.figures.studio import Studio, gain_for
from stylegan_jax.inversion import code as codes
from stylegan_jax.metrics.nearest_images import nearest
from stylegan_jax.networks.generator import Generator


def grey(picture):
    return picture.astype(np.float64).mean(-1)


def test_a_studio_draws_any_number_of_seeds_truncated(
    studio, generator, w_of, synthesize, same
):
    seeds = [3, 1, 4, 15, 9]
    drawn = studio.draw(studio.ws(seeds, psi=0.25, cutoff=2))
    assert drawn.shape == (5, 16, 16, 3) and drawn.dtype == np.uint8
    w_avg = np.asarray(generator.w_avg)
    for seed, picture in zip(seeds, drawn, strict=True):
        ws = w_of(seed)
        ws[:2] = w_avg + 0.25 * (ws[:2] - w_avg)
        same(picture, synthesize(ws))


def test_fresh_noise_differs_and_does_not_depend_on_the_batch(studio, generator):
    ws = studio.ws([7]).repeat(5, axis=0)
    drawn = np.stack(list(studio.draw_fresh(ws, seed=2)))
    assert len(np.unique(drawn, axis=0)) == len(drawn) == 5
    other = Studio(generator, batch_size=5)
    again = np.stack(list(other.draw_fresh(ws, seed=2)))
    assert np.abs(drawn.astype(int) - again).max() <= 1


def test_uncurated_samples_are_grouped_by_truncation(
    studio, w_of, synthesize, cells, same
):
    figure = samples.uncurated(studio, [0, 1, 2], psis=(1.0, 0.0), columns=2)
    assert figure.dtype == np.uint8 and figure.shape[2] == 3
    (shown,) = cells
    assert len(shown) == 8 and shown[3] is None and shown[7] is None
    for seed in range(3):
        same(shown[seed], synthesize(w_of(seed)))
        same(shown[4 + seed], shown[4])  # at 0 all are the mean


def test_truncation_goes_through_the_mean_image_to_the_opposite(
    studio, generator, w_of, synthesize, cells, same
):
    samples.truncation(studio, [5, 8], psis=(1.0, 0.5, 0.0, -1.0))
    (shown,) = cells
    w_avg = np.asarray(generator.w_avg)
    mean = np.broadcast_to(w_avg, (6, 6))
    for row, seed in enumerate([5, 8]):
        ws = w_of(seed)
        for column, expected in enumerate([ws, (ws + mean) / 2, mean, 2 * mean - ws]):
            same(shown[4 * row + column], synthesize(expected))


def test_mixed_images_take_the_named_layers_from_the_column(
    studio, w_of, synthesize, cells, same
):
    styles.style_mixing(studio, [10, 11], [[0, 1], [2], [3]])
    (shown,) = cells
    table = [shown[i : i + 3] for i in range(0, len(shown), 3)]
    assert len(table) == 5 and table[0][0] is None
    # Of six layers the first two are coarse, the next two middle, the last two fine.
    taken = {0: slice(0, 2), 1: slice(0, 2), 2: slice(2, 4), 3: slice(4, 6)}
    for column, source in enumerate([10, 11], start=1):
        same(table[0][column], synthesize(w_of(source)))
        for row, (seed, layers) in enumerate(taken.items(), start=1):
            same(table[row][0], synthesize(w_of(seed)))
            mixed = w_of(seed)
            mixed[layers] = w_of(source)[layers]
            same(table[row][column], synthesize(mixed))


def test_scaled_styles_are_of_the_named_layers(
    studio, generator, w_of, synthesize, cells, same
):
    styles.style_scaling(studio, [4], factors=(-1.0, 1.0, 2.0))
    (shown,) = cells
    assert len(shown) == 4 * 3
    w_avg = np.asarray(generator.w_avg)
    layers = [slice(0, 2), slice(2, 4), slice(4, 6), slice(0, 6)]
    for row, scaled in enumerate(layers):
        for column, factor in enumerate((-1, 1, 2)):
            ws = w_of(4)
            ws[scaled] = w_avg + factor * (ws[scaled] - w_avg)
            same(shown[3 * row + column], synthesize(ws))


def test_layer_effects_swap_one_layer_and_average_the_change(
    studio, w_of, synthesize, cells, same, monkeypatch
):
    monkeypatch.setattr(styles, "gain_for", lambda levels: 2.0)
    styles.layer_effects(studio, [4], donor=20, count=3, psi=1.0)
    (shown,) = cells
    assert len(shown) == 2 * 8 and shown[8] is None and shown[15] is None
    same(shown[0], synthesize(w_of(4)))
    same(shown[7], synthesize(w_of(20)))
    for layer in (0, 3, 5):
        changes = []
        for donor in (20, 21, 22):
            ws = w_of(4)
            ws[layer] = w_of(donor)[layer]
            picture = synthesize(ws)
            changes.append(np.abs(grey(picture) - grey(synthesize(w_of(4)))))
            if donor == 20:
                same(shown[1 + layer], picture)
        expected = np.clip(2 * np.mean(changes, 0), 0, 255)
        assert np.abs(shown[9 + layer][..., 0] - expected).max() < 2.6
        assert expected.max() > 5


def test_noise_layers_keep_the_stored_noise_on_some_layers(
    studio, generator, w_of, synthesize, cells, same
):
    noise.noise_layers(studio, [6])
    (shown,) = cells
    # Of 18 layers 8 to 17 are fine; of 6 layers those are the last three.
    for column, kept in enumerate([range(6), (), (3, 4, 5), (0, 1, 2)]):
        only = tuple(n if i in kept else 0 * n for i, n in enumerate(generator.noise))
        same(shown[column], synthesize(w_of(6), only))
    change = np.abs(grey(shown[0]) - grey(shown[1]))
    assert change.max() > 5
    gain = gain_for(np.stack([np.abs(grey(s) - grey(shown[1])) for s in shown[:4]]))
    expected = np.clip(gain * change, 0, 255)
    assert np.abs(shown[4][..., 0] - expected).max() < 1
    assert not shown[5].any()


def test_the_deviation_is_that_of_numpy_over_grey_levels():
    pictures = np.random.RandomState(0).randint(0, 256, (50, 5, 4, 3)).astype(np.uint8)
    found = noise.deviation(iter(pictures))
    np.testing.assert_allclose(found, np.std(pictures.mean(-1), 0), rtol=1e-9)


def test_stochastic_variation_shows_crops_of_noises_and_their_deviation(studio, cells):
    noise.stochastic_variation(studio, [2], count=9, crop=(0.5, 0.25, 0.5), gain=3.0)
    (shown,) = cells
    ws = studio.ws([2]).repeat(9, axis=0)
    drawn = np.stack(list(studio.draw_fresh(ws, seed=2)))
    for place in range(4):
        np.testing.assert_array_equal(shown[1 + place], drawn[place, 4:12, 8:])
    expected = np.rint(np.clip(3 * np.std(drawn.mean(-1), 0), 0, 255))
    np.testing.assert_allclose(shown[5][..., 0], expected, atol=1e-6)
    # Around the crop there is a square; what is outside it is the picture.
    factor = len(shown[0]) // 16
    outside = shown[0][::factor, ::factor]
    np.testing.assert_array_equal(outside[:, :8], drawn[0][:, :8])
    assert (shown[0][4 * factor, 8 * factor] == noise._FRAME).all()


def test_crops_stay_inside_and_can_be_enlarged():
    assert noise._box((0.25, 0.0, 0.5), 32) == (8, 0, 16)
    assert noise._box((0.9, 0.9, 0.4), 16) == (8 + 4, 8 + 4, 4)


def test_gains_keep_nearly_all_pixels_below_white():
    levels = np.zeros((10, 100))
    levels[0, :] = 20.0  # a tenth
    assert gain_for(levels) == 8.0  # 160; 16 would be 320
    levels[0, 0] = 200.0  # one pixel in a thousand may be white
    assert gain_for(levels) == 8.0
    assert gain_for(0 * levels) == 1.0 == gain_for(levels + 400)


def test_arithmetic_adds_the_difference_of_means(studio, w_of, synthesize, cells, same):
    samples.arithmetic(studio, [0, 1], [2], [3, 4], psi=1.0)
    (shown,) = cells
    a, b, c = (w_of(0) + w_of(1)) / 2, w_of(2), (w_of(3) + w_of(4)) / 2
    same(shown[0], synthesize(w_of(0)))
    same(shown[2], synthesize(a))
    same(shown[3], synthesize(b))
    assert shown[4] is None
    for place, t in enumerate([0, 0.5, 1]):
        same(shown[9 + place], synthesize(a + t * (c - b)))


def with_config(generator, **changes) -> Generator:
    return generator.replace(config=dataclasses.replace(generator.config, **changes))


def test_figures_refuse_networks_that_cannot_have_them(generator):
    plain = Studio(with_config(generator, use_styles=False))
    for draw in (
        lambda: styles.style_mixing(plain, [0], [[1], [], []]),
        lambda: styles.layer_effects(plain, [0], donor=1),
    ):
        with pytest.raises(UserError, match="needs a network with styles"):
            draw()
    quiet = Studio(with_config(generator, use_noise=False))
    for draw in (
        lambda: noise.noise_layers(quiet, [0]),
        lambda: noise.stochastic_variation(quiet, [0]),
    ):
        with pytest.raises(UserError, match="needs a network with noise"):
            draw()
    with pytest.raises(UserError, match="needs a network with a mean of w"):
        samples.truncation(Studio(generator.replace(w_avg=None)), [0])
    with pytest.raises(UserError, match="draws points"):
        list(Studio(generator.replace(resolution=1)).draw_each([]))
    with pytest.raises(UserError, match="`batch_size` 0 is below 1"):
        Studio(generator, batch_size=0)


def test_one_program_draws_everything(studio):
    before = codes.drawn._cache_size()
    ws = studio.ws([1, 2, 3])
    studio.draw(ws)
    studio.draw(ws[:1], studio.generator.draw_noise(jax.random.key(0), 1))
    list(studio.draw_fresh(ws))
    assert codes.drawn._cache_size() - before <= 1


def test_nearest_images_stand_below_their_samples(studio, cells, same):
    drawn = studio.draw(studio.ws(range(3)))
    data = np.random.RandomState(0).randint(0, 256, (5, 16, 16, 3), np.uint8)
    found = nearest(drawn, data, 2)
    nearest_rows.nearest(studio, drawn, found, columns=2)
    (shown,) = cells
    rows = [shown[i : i + 2] for i in range(0, 12, 2)]
    for place in range(3):
        group, column = divmod(place, 2)
        same(rows[3 * group][column], drawn[place])
        for rank in range(2):
            expected = data[found.indices[place, rank]]
            same(rows[3 * group + 1 + rank][column], expected)
    assert shown[7] is shown[9] is shown[11] is None
