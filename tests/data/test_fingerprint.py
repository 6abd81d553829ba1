import zipfile

import numpy as np
import pytest

from stylegan_jax.commands import prepare_data
from stylegan_jax.data import stored_images
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.decoded_cache import DecodedSource
from stylegan_jax.data.sources import open_source
from stylegan_jax.io.images import write_png


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_images, "_STAND_INS", 1)
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(4):
        write_png(folder / f"{i}.png", np.full((8, 8, 3), 40 * i, np.uint8))
    return folder


def opened(name, path=None, **options):
    return open_source(DataConfig(name=name, path=path and str(path), **options))


def of(name, path=None, count=2, resolution=8, **options):
    return opened(name, path, **options).fingerprint(count, resolution)


def test_a_folder_is_told_by_the_bytes_of_the_images_used(photos):
    before = of("folder", photos)
    assert of("folder", photos) == before
    write_png(photos / "3.png", np.full((8, 8, 3), 9, np.uint8))
    assert of("folder", photos) == before  # neither used nor a stand-in
    others = {before, of("folder", photos, 3), of("folder", photos, num_channels=1)}
    others.add(of("folder", photos, pad=True))
    for name in ("2.png", "1.png"):  # the first may stand in for the second
        write_png(photos / name, np.full((8, 8, 3), 9, np.uint8))
        others.add(of("folder", photos))
    (photos / "0.png").rename(photos / "9.png")
    others.add(of("folder", photos))
    assert len(others) == 7


def test_nothing_is_decoded(photos, monkeypatch):
    source = DecodedSource(opened("folder", photos), 0)
    monkeypatch.setattr(stored_images.images, "read_image", None)
    assert source.fingerprint(4, 8) == of("folder", photos, 4)


def test_a_zip_is_told_by_its_members(photos, tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(photos.iterdir()):
            archive.write(file, file.name)
    assert of("zip", path) == of("folder", photos)


def test_prepared_images_are_told_by_their_pixels(photos, tmp_path):
    found = []
    for i in range(2):
        words = ["--data.name", "folder", "--data.path", str(photos)]
        words += ["--dest", str(tmp_path / f"{i}"), "--resolution", "8"]
        prepare_data.main(words)
        found += [of("pyramid", tmp_path / f"{i}", resolution=r) for r in (4, 8)]
        found.append(of("pyramid", tmp_path / f"{i}", num_channels=1))
        write_png(photos / "1.png", np.full((8, 8, 3), 9, np.uint8))
    assert len({*found}) == 6


def test_portraits_and_points_are_told_by_what_makes_them(monkeypatch):
    portraits = [{}, {"seed": 1}, {"portraits_size": 9}, {"num_channels": 1}]
    points = [{"num_channels": 2, "seed": seed} for seed in (0, 1)]
    found = [of("portraits", **each) for each in portraits]
    found += [of("ring", **each) for each in points]
    assert len({*found}) == 6
    assert found[0] == of("portraits", labels="smile")
