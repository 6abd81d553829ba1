"""Films that are written can be read."""

import numpy as np
import pytest

from stylegan_jax.io import video

av = pytest.importorskip("av")


@pytest.mark.parametrize("shape", [(5, 7, 3), (300, 301, 1)])
def test_films_have_every_frame_and_even_sides(tmp_path, shape):
    greys = [0, 128, 255]
    frames = (np.full(shape, grey, np.uint8) for grey in greys)  # as they come
    video.write(tmp_path / "film.mp4", frames, 5)
    with av.open(tmp_path / "film.mp4") as film:
        read = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert film.streams.video[0].average_rate == 5
    levels = [frame[:200, :200].mean() for frame in read]
    np.testing.assert_allclose(levels, greys, atol=3)
    height, width = read[0].shape[:2]
    assert height >= 256 and height % 2 == 0 and width % 2 == 0
