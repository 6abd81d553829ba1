import types

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import reconstruction
from stylegan_jax.editing.directions import Direction
from stylegan_jax.features import included
from stylegan_jax.inversion.code import Code, draw
from stylegan_jax.io.images import from_uint8, to_uint8
from tests import tiny


def test_changes_by_edits_are_in_deviations_and_over_all_directions(monkeypatch):
    made, count = tiny.generator(tiny.MODEL_8), 2
    codes = [tiny.code(made, seed) for seed in range(count)]
    pictures = np.stack([to_uint8(np.asarray(draw(made, code))[0]) for code in codes])
    targets = np.random.RandomState(1).randint(0, 256, pictures.shape, np.uint8)
    edges = np.random.RandomState(2).randn(2, made.config.w_dim)
    directions = [
        Direction(name="b", vector=edges[0], std=0.5),
        Direction(name="a", vector=edges[1], std=2.0, layers=(1, 2)),
    ]
    classifiers = {  # of brightness and of the upper half
        name: types.SimpleNamespace(logit=lambda x, c=c: x[:, : 8 >> c].mean((1, 2, 3)))
        for c, name in enumerate(["a", "b"])
    }
    stds = np.array([0.1, 0.3])
    seen = []

    def measured(before, after, *, identity):
        assert identity == "features"
        seen.append((before, after))
        scores = {"psnr": 30.0, "ssim_gaussian": 0.5, "identity": 0.1 * len(seen)}
        return {name: np.array([score, score]) for name, score in scores.items()}

    monkeypatch.setattr(reconstruction, "report", measured)
    way = reconstruction.Way(codes, [made] * count, pictures)
    row = reconstruction.scores(way, targets, directions, classifiers, stds, "features")

    changes = np.zeros((2, 2))  # of a direction and a classifier
    for k, direction in enumerate(directions):
        step = 2.0 * direction.std * direction.rows(made.config.num_ws)
        for code in codes:
            edited = Code(jnp.asarray(np.asarray(code.ws) + step), code.noise)
            before, after = np.asarray(draw(made, code)), np.asarray(draw(made, edited))
            change = after - before
            changes[k] += change.mean() / 0.1 / 2, change[:, :4].mean() / 0.3 / 2
    assert row["own"] == pytest.approx((changes[0, 1] + changes[1, 0]) / 2, rel=1e-3)
    others = abs(changes[0, 0]) + abs(changes[1, 1])
    assert row["others"] == pytest.approx(others / 2, rel=1e-3)
    assert (row["PSNR"], row["SSIM"]) == (30.0, 0.5)
    net = included.load()
    x, y = (
        included.features(net, jnp.asarray(from_uint8(a))) for a in (targets, pictures)
    )
    parts = [np.square(a - b).mean() for a, b in zip(x, y, strict=True)]
    assert row["features"] == pytest.approx(np.sum(parts), rel=1e-3)
    assert row["like"] == pytest.approx(0.1)  # of image and reconstruction
    np.testing.assert_array_equal(seen[0], (targets, pictures))
    assert row["like, edited"] == pytest.approx(0.25)  # two directions
    np.testing.assert_allclose(seen[1][0].astype(int), pictures.astype(int), atol=1)


def test_the_stages_begin_at_the_encoder():
    found = reconstruction.stages(32, 7)
    assert found.starts == ("encoder",)
    assert [(s.moves, s.plan.steps) for s in found.stages] == [
        ("latent", 0),
        ("latent", 100),
        ("latent", 7),
        ("noise", 7),
    ]
