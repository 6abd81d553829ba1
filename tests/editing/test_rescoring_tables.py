import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.editing.directions import Direction
from stylegan_jax.editing.rescoring import Rescoring
from stylegan_jax.editing.rescoring_tables import draw_rows, to_json, to_markdown
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import init_generator


def filled(config):
    """A network with normal numbers for parameters; nothing is compiled for it."""
    shapes = jax.eval_shape(lambda: init_generator(jax.random.key(0), config))
    draw = np.random.RandomState(0)
    return jax.tree.map(lambda x: jnp.asarray(draw.randn(*x.shape), x.dtype), shapes)


TABLE = Rescoring(
    directions=("age", "smile_c_age", "sefa1"),
    attributes=("age", "smile"),
    changes=np.array([[1.2, -0.3], [0.0, 0.5], [0.1, 0.2]]),
    errors=np.full((3, 2), 0.01),
    amounts=np.array([2.0, 1.5, -1.0]),
    stds=np.array([3.0, 4.0]),
    count=100,
)


def test_markdown():
    assert to_markdown(TABLE).splitlines() == [
        "| direction | age | smile | own / largest other |",
        "| --- | --- | --- | --- |",
        "| age by +2.00 | **+1.20** | -0.30 | 4.0 |",
        "| smile_c_age by +1.50 | +0.00 | **+0.50** | inf |",
        "| sefa1 by -1.00 | +0.10 | +0.20 |  |",
    ]


def test_json_is_strict_and_has_every_number():
    record = json.loads(json.dumps(to_json(TABLE), allow_nan=False))
    age, smile, sefa = record["directions"]
    assert age["changes"] == {"age": 1.2, "smile": -0.3} and age["amount"] == 2.0
    assert age["own_over_largest_other"] == pytest.approx(4)
    assert smile["own_over_largest_other"] is None
    assert sefa["own_over_largest_other"] is None
    assert record["logit_stds"] == {"age": 3.0, "smile": 4.0}
    assert record["count"] == 100


def test_pictures_are_of_the_people_moved_by_steps_of_standard_deviations():
    config = ModelConfig(
        resolution=8, z_dim=4, w_dim=5, mapping_layers=1, channel_max=8, label_size=2
    )
    generator = filled(config)
    generator = generator.replace(w_avg=jnp.ones(5))
    synthesize = jax.jit(generator.synthesize)
    in_w = Direction(name="x", vector=np.arange(5.0), std=2.0, layers=(0, 1))
    in_z = Direction(name="y", vector=np.arange(4.0), space="z")
    z = np.random.RandomState(0).randn(2, 4).astype(np.float32)
    label = np.array([[0, 1]], np.float32)
    picture = draw_rows(generator, [in_w, in_z], (-1, 0, 2), z, labels=label, psi=0.5)
    cells = [picture[-4 * 66 + 66 * row + 2 :][:64] for row in range(4)]
    left = picture.shape[1] - 3 * 66 + 2

    def shown(row, column):
        return cells[row][4::8, left + 66 * column + 4 :: 8][:, :8]

    def drawn(z, step):
        ws = 0.5 + 0.5 * np.asarray(generator.map(z, label))  # the mean of w is 1
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
        assert np.abs(shown(row, column) - image).max() <= 1
    assert np.abs(shown(0, 0).astype(int) - shown(0, 1)).max() > 2
