"""Image2StyleGAN++'s loss: terms, masks, Gram matrices; and the film of a search."""

import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.figures import search_film, style_loss
from stylegan_jax.figures.studio import Studio, as_signed
from stylegan_jax.figures.style_loss import Loss
from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion import terms
from tests import tiny


def photos(size=8):
    random = np.random.RandomState(0)
    return random.randint(0, 256, (2, size, size, 3)).astype(np.uint8)


def soft_mask(size=8):
    row = np.linspace(1, 0, size, dtype=np.float32)
    return np.broadcast_to(row[None, None, :, None], (1, size, size, 1))


def gram64(picture, mask):
    """Mean of outer products of (R, G, B, 1) in [-1, 1] over the mask."""
    total, weight = np.zeros((4, 4)), 0.0
    for i, j in np.ndindex(picture.shape[:2]):
        pixel = np.append(picture[i, j] / 127.5 - 1, 1.0)
        total += mask[0, i, j, 0] * np.outer(pixel, pixel)
        weight += mask[0, i, j, 0]
    return total / weight


def test_each_term_has_its_picture_and_mask():
    (x, y), mask = photos(), soft_mask()
    made = Loss(x, y, mask).terms()
    assert [*made] == ["pixels of x", "pixels of y", "style of y"]
    drawn = photos()[::-1] // 2
    images = np.float32(drawn[:1] / 127.5 - 1)
    values = {name: float(term(images, None)[0]) for name, term in made.items()}
    levels = np.float64(drawn[0])
    for name, picture, seen in (("x", x, mask[0]), ("y", y, 1 - mask[0])):
        expected = 1e-5 * np.mean((seen * (levels - picture)) ** 2)
        np.testing.assert_allclose(values[f"pixels of {name}"], expected, rtol=1e-4)
    change = gram64(levels, 1 - mask) - gram64(np.float64(y), 1 - mask)
    np.testing.assert_allclose(values["style of y"], np.mean(change**2), rtol=1e-4)
    assert [*Loss(x, y, mask).terms(pixels_only=True)] == ["pixels of x", "pixels of y"]
    assert [*Loss(x).terms()] == ["pixels of x"]


def test_masks_are_drawn_over_the_picture_of_their_term(cells):
    (x, y), mask = photos(), soft_mask()
    studio = Studio(tiny.generator(tiny.MODEL_8), cell=16)
    style_loss.loss_masks(studio, Loss(x, y, mask))
    (shown,) = cells
    np.testing.assert_array_equal(shown[:2], [x, y])
    for place, (picture, seen) in enumerate([(x, mask), (x, mask), (y, 1 - mask)]):
        expected = seen[0] * picture + 128 * (1 - seen[0])
        assert np.abs(shown[2 + place] - expected).max() <= 0.51
    np.testing.assert_array_equal(shown[4], shown[5])  # style is of y's outside too


def test_gram_matrices_of_colours_and_their_difference(cells, monkeypatch):
    x, y = photos()
    labels = {}
    page = Studio.page
    monkeypatch.setattr(
        Studio, "page", lambda *args, **kw: (labels.update(kw), page(*args, **kw))[1]
    )
    style_loss.gram_matrices(Studio(tiny.generator(tiny.MODEL_8), cell=16), x, y)
    (shown,) = cells
    a, b = (gram64(np.float64(p), np.ones((1, 8, 8, 1))) for p in (x, y))
    assert abs(a - b).max() > 0.05 and a[3, 3] == b[3, 3] == 1
    spans = [1.0, 1.0, abs(a - b).max()]
    for picture, matrix, span in zip(shown[2:], (a, b, a - b), spans, strict=True):
        expected = as_signed(matrix, span).astype(int)
        assert np.abs(picture - expected).max() <= 1
    assert labels["column_groups"][1] == (f"distance {np.mean((a - b) ** 2):.2g}", 3)


def test_with_vgg16_there_is_a_term_of_features_and_gram_matrices_are_of_them(
    cells, monkeypatch
):
    (x, y), mask = photos(), soft_mask()

    def features(params, images, layers):
        """Two channels: the red one doubled, and the blue one."""
        assert params == "vgg16"
        return tuple(np.asarray(images)[..., [0, 2]] * [2, 1] for _ in layers)

    monkeypatch.setattr(terms, "vgg_features", features)
    made = Loss(x, y, mask, "vgg16").terms()
    assert [*made] == ["pixels of x", "features of x", "pixels of y", "style of y"]
    scaled = [np.float64(p)[..., [0, 2]] / 127.5 - 1 for p in (x, y)]
    found = [f * [2, 1] for f in scaled]
    black = np.full((1, 8, 8, 3), -1.0, np.float32)
    value = float(made["features of x"](black, None)[0])
    seen = mask[0] * (found[0] - [-2, -1])
    expected = 4 * 1e-5 * np.mean(seen**2)  # four layers
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    grams = [np.einsum("hwc,hwd->cd", f, f) / (8 * 8 * 2) for f in found]
    style_loss.gram_matrices(
        Studio(tiny.generator(tiny.MODEL_8), cell=16), x, y, "vgg16"
    )
    (shown,) = cells
    span = np.abs(grams).max()
    for picture, matrix in zip(shown[2:4], grams, strict=True):
        assert np.abs(picture - as_signed(matrix, span).astype(int)).max() <= 1


def test_mistakes_are_explained():
    x, y = photos()
    with pytest.raises(UserError, match="a second picture needs a `mask`"):
        Loss(x, y)
    with pytest.raises(UserError, match=r"pictures of \(8, 8, 3\) and \(4, 4, 3\)"):
        Loss(x, y[:4, :4], soft_mask())


@pytest.mark.thorough
def test_a_film_moves_w_then_noise_and_records_each_term(cells, monkeypatch):
    (x, y), mask = photos(), soft_mask()
    generator, found = tiny.generator(tiny.MODEL_8), []
    studio, loss = Studio(generator, cell=16), Loss(x, y, mask)
    draw = codes.draw_pictures
    monkeypatch.setattr(
        codes, "draw_pictures", lambda g, code: (found.append(code), draw(g, code))[1]
    )
    film = search_film.inversion(studio, loss, steps=4, noise_steps=2, every=2)
    start, *_, w, noise = found  # iterations 0, 2, 4 and 6
    assert len(found) == 4
    np.testing.assert_array_equal(start.ws[0], [generator.w_avg] * 4)
    assert np.abs(np.asarray(w.ws) - start.ws).max() > 0.05
    np.testing.assert_array_equal(w.noise[3], start.noise[3])
    np.testing.assert_array_equal(noise.ws, w.ws)
    assert np.abs(np.asarray(noise.noise[3]) - w.noise[3]).max() > 0.05
    frames = list(film.frames)
    assert len(frames) == film.count == 4
    assert len({frame.shape for frame in frames}) == 1
    # Frames: three terms, what is drawn, and its difference; the curves are below.
    sheet, strip, *filled = cells
    assert len(sheet) == 3 and len(strip) == 8 and len(filled) == 4
    for place, code in enumerate(found):
        picture = draw(generator, code)[0]
        np.testing.assert_array_equal(filled[place][3], picture)
        np.testing.assert_array_equal(strip[place], picture)
    grey = np.abs(draw(generator, noise)[0].mean(-1) - loss.target.mean(-1))
    levels = filled[-1][4][..., 0]
    assert np.corrcoef(levels.ravel(), np.minimum(grey, 255).ravel())[0, 1] > 0.99
