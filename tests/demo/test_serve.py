"""The command: where directions are looked for, and what it says to mistakes."""

import json
import shutil
import socket

import numpy as np
import pytest

from stylegan_jax import loading
from stylegan_jax.commands import serve
from stylegan_jax.editing import masks
from stylegan_jax.editing.direction_files import save_directions
from stylegan_jax.editing.directions import Direction
from stylegan_jax.errors import UserError
from stylegan_jax.interop import pretrained
from stylegan_jax.io import cache
from tests.demo.conftest import DIRECTIONS


def names(**flags):
    return [d.name for d in serve.find_directions(serve.ServeArgs(**flags))]


def test_directions_lie_beside_the_network(network, tmp_path, monkeypatch):
    assert names(network=network) == [d.name for d in DIRECTIONS]
    alone = tmp_path / "alone.safetensors"
    shutil.copy(network, alone)
    assert names(network=alone) == []
    other = tmp_path / "other.safetensors"
    save_directions(other, [Direction(name="hat", vector=np.ones(6))])
    assert names(network=network, directions=other) == ["hat"]
    run = tmp_path / "run"
    (run / "checkpoints" / "1").mkdir(parents=True)
    (run / "config.json").write_text("{}")
    shutil.copy(other, run / "directions.safetensors")
    for path in (run, run / "checkpoints" / "1"):
        assert names(network=path) == ["hat"]
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    shutil.copy(network, tmp_path / "people.safetensors")
    shutil.copy(other, tmp_path / "people_directions.safetensors")
    assert names(network="people") == ["hat"]


def test_the_network_in_the_package_is_the_default_and_its_faces_are_drawn(
    network, tmp_path, monkeypatch
):
    assert serve.ServeArgs().network == "portraits"

    def frame(network, **flags):
        return serve.find_frame(serve.ServeArgs(network=network, **flags))

    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    monkeypatch.setattr(loading.registry, "fetch", lambda name: network)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "portraits").mkdir()  # of pictures, perhaps
    in_the_box = tmp_path / "portraits.safetensors"
    shutil.copy(network, in_the_box)
    for run, data in [("drawn", "portraits"), ("taken", "folder")]:
        data = {"name": data, "path": "photos"}
        config = {"model": {}, "data": data, "schedule": {}, "run": {}}
        (tmp_path / run).mkdir()
        (tmp_path / run / "config.json").write_text(json.dumps(config))
    for drawn in ("portraits", in_the_box, tmp_path / "drawn"):
        assert frame(drawn) == masks.PORTRAITS
    for taken in ("ffhq", network, tmp_path / "taken"):
        assert frame(taken) == masks.FFHQ
    assert frame(network, face="portraits") == masks.PORTRAITS
    assert frame(in_the_box, face="ffhq") == masks.FFHQ


def test_weights_are_looked_for_and_not_fetched(network, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "folder", lambda _: tmp_path)
    kinds = {"auto": "included", "included": "included", "none": "none"}
    for choice, kind in kinds.items():
        args = serve.ServeArgs(network=network, perceptual=choice)
        assert serve.find_features(args).kind == kind


def test_a_port_that_is_taken_is_said_so():
    server = pytest.importorskip("stylegan_jax.demo.server")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} .*give another `port`"):
            server.bind("127.0.0.1", port)
    with server.bind("127.0.0.1", 0) as free:
        assert server.address(free).startswith("http://127.0.0.1:")


def test_errors_become_messages(caplog):
    gradio = pytest.importorskip("gradio")
    from stylegan_jax.demo import page

    def mistake():
        raise UserError("no such seed")

    def bug():
        yield 1
        raise KeyError("x")

    with pytest.raises(gradio.Error, match="No such seed"):
        page.guarded(mistake)()
    found = page.guarded(bug)()
    assert next(found) == 1
    with pytest.raises(gradio.Error, match="KeyError in the program"):
        next(found)
    assert "KeyError" in caplog.text


def test_only_tabs_that_a_network_can_use_are_there(session):
    app = pytest.importorskip("stylegan_jax.demo.app")
    every = ["Samples", "Attributes", "Style mixing", "Morphing"]
    assert list(app.tabs(session)) == [*every, "Photograph", "Painting"]

    class Plain:
        sliders, editable = (), False

    assert list(app.tabs(Plain())) == ["Samples", "Morphing"]


def test_stops_are_each_visitors_own():
    visitors = pytest.importorskip("stylegan_jax.demo.visitors").Visitors()
    mine, yours = visitors.begin("a"), visitors.begin("b")
    visitors.stop("a")
    visitors.stop("nobody")
    assert mine.is_set() and not yours.is_set()
