"""A run that begins from an official pickle and is written back as one."""

from pathlib import Path

import jax
import numpy as np
import pytest

from stylegan_jax import loading
from stylegan_jax.commands import convert, train

PICKLE = (
    Path(__file__).parents[1] / "data" / "official" / "stylegan_res16_labels5_gray.pkl"
)


@pytest.mark.thorough
def test_an_official_pickle_is_trained_on_and_written_back(tmp_path, capsys):
    run, written = tmp_path / "run", tmp_path / "mine.pkl"
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "import stylegan_jax as sg\n\n\n"
        "def get_config():\n"
        "    return sg.Config(\n"
        "        data=sg.DataConfig(portraits_size=64, num_channels=1),\n"
        "        model=sg.ModelConfig(num_channels=1),\n"
        "        schedule=sg.ScheduleConfig(total_kimg=2, batch_size=16),\n"
        "        run=sg.RunConfig(grid_columns=2, grid_rows=1),\n"
        "    )\n"
    )
    flags = ["--optimizer.freeze-d", "1", "--optimizer.ema-kimg", "0.1"]
    train.main([str(recipe), "--workdir", str(run), "--init", str(PICKLE), *flags])
    shown = capsys.readouterr().out
    assert "discriminator" in shown and "16 px" in shown
    convert.main([str(run), str(written)])
    before, after, back = map(loading.load, (str(PICKLE), str(run), str(written)))
    z = np.random.RandomState(0).randn(4, before.config.z_dim).astype(np.float32)

    def draw(generator):
        classes = generator.config.label_size
        labels = np.eye(4, classes, dtype=np.float32) if classes else None
        return generator.sample(z, labels=labels, psi=0.7)

    old, new, same = (
        np.asarray(jax.jit(draw)(generator)) for generator in (before, after, back)
    )
    assert new.shape == old.shape == (4, 16, 16, 1)
    np.testing.assert_allclose(same, new, atol=1e-4)
    assert np.abs(new - old).mean() > 0.02  # it has learnt something
