"""A server on loopback, and what strangers may send to it over HTTP."""

import contextlib
import json
import re
import socket
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gradio")

from benchmarks.visitors import API, FILE, Visitor, form, painting
from stylegan_jax.io import images
from tests.demo.test_sources import png_of

_MOST_MEMORY = 1 << 30
_MOST_SECONDS = 60  # 20 on a machine that has nothing else to do


@pytest.fixture
def visitor(server):
    return Visitor(server.url)


@pytest.fixture
def folder(visitor):
    """Where uploads are kept."""
    return Path(visitor.upload(b"some")["path"]).parent.parent


@contextlib.contextmanager
def bounded(server):
    """Afterwards the server is there, was not slow, and took little memory."""
    before = server.reset()
    start = time.monotonic()
    yield
    assert time.monotonic() - start < _MOST_SECONDS
    assert server.memory() - before < _MOST_MEMORY
    assert Visitor(server.url).functions


def named(path):
    """The ways in which a value can name a file."""
    file = {"path": path, "meta": FILE}
    yield file
    yield {"path": path}
    yield {**file, "is_stream": True, "url": f"http://127.0.0.1/{path}"}
    yield [file]
    for part in ("background", "composite"):
        yield {"background": None, "layers": [], "composite": None, part: file}
    yield {"background": None, "layers": [file], "composite": None}
    yield {"value": file, "__type__": "update"}


FOREIGN = [
    *("/etc/passwd", "/proc/self/environ", "/dev/zero", "/dev/stdin", "etc/passwd"),
    *("file:///etc/passwd", "http://127.0.0.1:1/x", "https://example.com/x.png"),
]


def test_no_function_reads_a_file_that_was_not_uploaded(visitor, folder):
    inputs = [(i, n) for i, f in visitor.functions.items() for n in f["inputs"]]
    assert len(inputs) > 100
    foreign = [
        *FOREIGN,
        f"{folder}/../../etc/passwd",
        f"{folder}/x/../../../etc/passwd",
    ]
    for function, part in inputs:
        place = visitor.functions[function]["inputs"].index(part)
        path = foreign[(function + part) % len(foreign)]
        for count, value in enumerate(named(path)):
            values = visitor.usual(function)
            values[place] = value
            call = {
                "fn_index": function,
                "data": values,
                "session_hash": visitor.name,
                "event_data": value if count % 2 else None,
            }
            route = ("queue/join", "run/predict")[count % 2]
            status, text = visitor.ask("POST", f"{API}/{route}", call)
            assert status == 403, (function, value)
            assert json.loads(text) == {
                "detail": "values may name no files but uploads"
            }
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert not any(b"root:" in path.read_bytes() for path in kept)


def test_no_address_gives_a_file_that_was_not_uploaded(visitor, folder):
    mine = visitor.upload(b"my own")
    assert visitor.ask("GET", f"{API}/file={mine['path']}") == (200, "my own")
    paths = [*FOREIGN, f"{folder}/../../etc/passwd", str(folder), __file__, "", "."]
    for path in paths:
        for route in (f"{API}/file=", f"{API}/file/", "/file=", f"{API}/proxy="):
            for quoted in (path, path.replace("/", "%2F"), path.replace(".", "%2e")):
                status, text = visitor.ask("GET", f"{route}{quoted}")
                assert status in (403, 404), (route, path)
                assert "root:" not in text and str(folder) not in text
    for path in ("/static/", "/assets/", f"{API}/custom_component/"):
        for tail in ("../../../../../etc/passwd", "%2e%2e/%2e%2e/routes.py", "//etc/x"):
            assert visitor.ask("GET", path + tail)[0] in (403, 404)


def test_names_of_uploads_lead_nowhere_else(visitor, folder):
    for name in ("../../evil.png", "/etc/evil.png", "..", "a/../../evil.svg", "\\evil"):
        path = Path(visitor.upload(b"data", name)["path"])
        assert path.parent.parent == folder and path.is_file()
    status, page = visitor.ask("GET", "/config")
    assert status == 200 and str(folder) not in page and str(Path.cwd()) not in page


JUNK = ["x", None, 1e400, -1e308, [], [[["x"]]], {"a": 1}, True]
JUNK += ["é" * 3000, [10**40] * 9]


def test_wrong_values_are_answered_without_paths(server, visitor, folder):
    told, paint = [], visitor.at("paint-start", "click")
    with bounded(server):
        for function, about in visitor.functions.items():
            if not about["backend_fn"] or function == paint:
                continue
            for n in range(min(2, len(about["inputs"]))):
                values = visitor.usual(function)
                junk = JUNK[(function * 3 + n) % len(JUNK)]
                values[(function + n) % len(values)] = junk
                if about["queue"]:
                    told.append(visitor.call(function, values)["output"].get("error"))
                else:
                    body = {"fn_index": function, "data": values, "session_hash": "v1"}
                    told.append(visitor.ask("POST", f"{API}/run/predict", body)[1])
    assert len(told) > 30 and sum(text is not None for text in told) > 5
    for text in filter(None, told):
        assert not re.search(r"(/[\w.-]+){2,}|Traceback|\.py\b", text), text


BOMBS = {
    "one colour": lambda: png_of(13_370, 13_370),
    "wide": lambda: png_of(50_000_000, 2),
    "deep": lambda: png_of(6_300, 6_300, 16, 4),  # eight bytes a pixel
    "gif": lambda: b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0) + b";",
    "eps": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n(/tmp/x) (w)",
    "no picture": lambda: b"x" * 1000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_pictures_that_swell_are_refused(server, visitor, name):
    data = BOMBS[name]()
    upload, paint = visitor.at("upload", "upload"), visitor.at("paint-start", "click")
    values = visitor.usual(upload)
    with bounded(server):
        values[0] = visitor.upload(data)
        answers = {
            "photograph": visitor.call(upload, values),
            "layer": visitor.call(paint, painting(visitor, data)),
        }
    if name == "deep":  # 40 megapixels are read
        assert answers.pop("photograph")["success"]
    for kind, answer in answers.items():
        assert not answer["success"]
        wanted = rf"The {kind} (is \d+ x \d+ pixels, over|cannot be read)"
        assert re.match(wanted, answer["output"]["error"]), answer["output"]


def test_large_photographs_are_read_and_strokes_searched_for(server, visitor):
    noise = np.random.default_rng(0).integers(0, 256, (400, 600, 3)).astype(np.uint8)
    upload, paint = visitor.at("upload", "upload"), visitor.at("paint-start", "click")
    values = visitor.usual(upload)
    with bounded(server):
        photo = images.encode_png(noise.repeat(10, 0).repeat(10, 1))
        values[0] = visitor.upload(photo)
        answer = visitor.call(upload, values)
    assert answer["success"], answer["output"]
    _, values = search(visitor, "usual")
    answer = visitor.call(paint, values)
    assert answer["success"] and "done" in str(answer["output"]["data"])
    place = visitor.functions[paint]["inputs"].index(visitor.named("editor"))
    values[place]["layers"] *= 5
    answer = visitor.call(paint, values)
    assert answer["output"]["error"] == "A painting has at most 4 layers"


def raw(server, head, body=(), *, end=True):
    """Sends a request piece by piece; what is answered until the server closes."""
    host, port = server.url.split("//")[1].strip("/").split(":")
    with socket.create_connection((host, int(port)), 60) as connection:
        connection.sendall(f"{head}\r\nHost: {host}:{port}\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError):
            for piece in body:
                connection.sendall(piece)
            return connection.recv(100).decode() if end else ""
    return ""


def test_bodies_are_bounded(server, folder):
    before = set(folder.rglob("*"))
    junk = b"x" * (1 << 20)
    chunk = b"100000\r\n" + junk + b"\r\n"
    multipart = "Content-Type: multipart/form-data; boundary=a-boundary"
    with bounded(server):
        framings = ("Content-Length: 209715200", "Transfer-Encoding: chunked")
        for route in [
            "queue/join",
            "run/predict",
            "cancel",
            "upload",
            "other",
            "login",
        ]:
            for framing, piece in zip(framings, (junk, chunk), strict=True):
                head = f"POST {API}/{route} HTTP/1.1\r\n{framing}\r\n{multipart}"
                first = form(b"")[:99]
                if "chunked" in framing:
                    first = f"{len(first):x}\r\n".encode() + first + b"\r\n"
                answer = raw(server, head, [first, *[piece] * 200])
                assert not answer or answer.split()[1] in ("413", "404"), answer
        many = b"".join(form(b"x")[:-16] for _ in range(1000)) + form(b"x")
        status, _ = Visitor(server.url).ask(
            *("POST", f"{API}/upload", many),
            {"Content-Type": "multipart/form-data; boundary=a-boundary"},
        )
        assert status == 400
    time.sleep(0.5)
    assert set(folder.rglob("*")) == before


def test_aborted_uploads_leave_nothing(server, folder):
    before = set(folder.rglob("*"))
    head = (
        f"POST {API}/upload HTTP/1.1\r\nContent-Length: 20000000\r\n"
        "Content-Type: multipart/form-data; boundary=a-boundary"
    )
    for _ in range(5):
        raw(server, head, [form(b"x" * 5_000_000)[:-20]], end=False)
    end = time.monotonic() + 20
    while set(folder.rglob("*")) != before or opened(server):
        assert time.monotonic() < end
        Visitor(server.url)


def opened(server):
    """Files without a name that the server has open."""
    found = []
    for link in Path(f"/proc/{server.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if int(link.name) > 2:  # the others are the test's own
                found.append(str(link.readlink()))
    return [name for name in found if "/tmp/" in name and "deleted" in name]


def search(visitor, effort):
    """A search for the meaning of a stroke, and its values."""
    layer = np.zeros((448, 448, 4), np.uint8)
    layer[:200, :200] = (255, 0, 0, 255)
    function = visitor.at("paint-start", "click")
    values = painting(visitor, images.encode_png(layer))
    inputs = visitor.functions[function]["inputs"]
    values[inputs.index(visitor.named("paint-effort"))] = effort
    return function, values


def test_one_visitor_does_not_keep_the_next_from_searching(server, visitor):
    other = Visitor(server.url)
    function, values = search(visitor, "long")
    assert visitor.join(function, values)[0] == 200
    heard = []

    def listen():
        for message in visitor.messages():
            if message["msg"] == "process_completed":
                heard.append(time.monotonic())

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    answers = [visitor.join(function, values) for _ in range(199)]
    assert [status for status, _ in answers].count(503) >= 190
    assert "too much of yours is waiting" in answers[-1][1]
    answer = other.call(*search(other, "quick"))
    done = time.monotonic()
    assert answer["success"]
    listener.join(120)
    assert len(heard) >= 2 and heard[0] < done < heard[-1]


def test_searches_end_when_their_visitor_goes(server, visitor):
    other = Visitor(server.url)
    other.call(*search(other, "quick"))  # compiled
    function, values = search(visitor, "long")
    for _ in range(2):
        assert visitor.join(function, values)[0] == 200
    for message in visitor.messages():
        if message["msg"] == "process_generating":
            break  # and closes the connection
    start = time.monotonic()
    other.call(*search(other, "quick"))
    quick = time.monotonic() - start
    start = time.monotonic()
    assert other.call(*search(other, "long"))["success"]
    assert quick < time.monotonic() - start
    # Who never listens is never served.
    silent = Visitor(server.url)
    for _ in range(2):
        assert silent.join(*search(silent, "long"))[0] == 200
    start = time.monotonic()
    assert other.call(*search(other, "quick"))["success"]
    assert time.monotonic() - start < max(quick, 10)
