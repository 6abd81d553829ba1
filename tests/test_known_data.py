"""Which data a network is compared with, wherever its name stands among the flags."""

import dataclasses
import json
from typing import Annotated

import numpy as np
import pytest
import tyro

from stylegan_jax.commands import known_data
from stylegan_jax.data.config import DataConfig
from stylegan_jax.errors import UserError
from stylegan_jax.interop import exported, pretrained
from stylegan_jax.io.images import write_png
from stylegan_jax.runs import run_directory
from stylegan_jax.training.config import Config
from tests import tiny


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """Flags of a command."""

    network: Annotated[str | None, tyro.conf.Positional] = None
    metrics: str = "fid"
    quick: bool = False
    data: DataConfig = DataConfig()


def parse(*words):
    return known_data.parse(Entry, [str(word) for word in words], prog="test")


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos" / "a").mkdir(parents=True)
    for i in range(4):
        path = tmp_path / "photos" / ("a" if i < 2 else ".") / f"{i}.png"
        write_png(path, np.full((8, 8, 3), 40 * i, np.uint8))
    return tmp_path / "photos"


@pytest.fixture
def run(tmp_path, photos):
    data = DataConfig(name="folder", path=str(photos), mirror=True, max_images=3)
    run_directory.start_run(tmp_path / "run", Config(model=tiny.MODEL, data=data))
    return tmp_path / "run"


@pytest.mark.parametrize("place", range(4))
def test_flags_may_come_before_the_network(run, place):
    flags = [("--metrics", "fid50k"), ("--quick",), ("--data.seed", "3")]
    words = [*flags[:place], (run,), *flags[place:]]
    args, data = parse(*[word for group in words for word in group])
    assert args.network == str(run) and args.quick and args.metrics == "fid50k"
    expected = run_directory.data_config(run)
    assert data.config == args.data == dataclasses.replace(expected, seed=3)
    assert len(data.source) == 3 and str(run) in data.owner


def test_flags_change_what_they_say_and_no_more(run, photos, tmp_path):
    _, data = parse("--data.no-mirror", run)
    assert (data.config.mirror, data.config.max_images) == (False, 3)
    # The same data in another place.
    photos.rename(tmp_path / "moved")
    with pytest.raises(UserError, match=rf"data of the run {run}; --data.path says"):
        _ = parse(run)[1].source
    _, data = parse("--data.path", tmp_path / "moved", run)
    assert (data.config.name, data.config.mirror) == ("folder", True)
    assert len(data.source) == 3
    # Other data.
    _, data = parse(run, "--data.name", "portraits", "--data.portraits-size", "9")
    assert data.config == DataConfig(portraits_size=9)
    (tmp_path / "all.zip").write_bytes(b"PK")
    _, data = parse(run, "--data.path", tmp_path / "all.zip")
    assert (data.config.name, data.config.max_images) == ("zip", 3)


def test_labels_that_another_kind_does_not_have_are_left_out(run, tmp_path):
    config = json.loads((run / "config.json").read_text())
    config["data"] |= {"name": "pyramid", "labels": "stored"}
    (run / "config.json").write_text(json.dumps(config))
    _, data = parse(run, "--data.path", tmp_path, "--data.labels", "folders")
    assert (data.config.name, data.config.labels) == ("folder", "folders")
    assert parse(run, "--data.path", tmp_path)[1].config.labels == "none"


def test_a_path_decides_its_kind_for_networks_without_known_data(tmp_path, photos):
    network = tmp_path / "x.safetensors"
    exported.save(network, tiny.generator())
    for words in ([network], ["--data.mirror", network], []):
        _, data = parse(*words)
        assert data.config is None
        with pytest.raises(UserError, match=r"not known what this was .* --data"):
            _ = data.source
    args, data = parse("--data.path", photos, network)
    assert args.data.name == "folder" and len(data.source) == 4
    args, data = parse("--data.name", "portraits", network)
    assert data.config == DataConfig()


def test_the_network_in_the_box_knows_its_data():
    for name in ("portraits", pretrained.network("portraits")):
        _, data = parse("--metrics", "kid", name)
        assert data.config == DataConfig(portraits_size=50_000)


def test_only_checkpoints_belong_to_a_run(run):
    for folder, belongs in [("checkpoints", True), ("pictures", False)]:
        inside = run / folder / "nimg_000000016"
        inside.mkdir(parents=True, exist_ok=True)
        assert (run_directory.run_of(inside) == run) is belongs
