"""What the gate lets through, and what gradio's own checks would refuse behind it."""

import asyncio
import contextlib
import json
import threading
import types

import pytest

pytest.importorskip("gradio")
from starlette.testclient import TestClient

from stylegan_jax.demo import app, gate, server, visitors

FILE = {"_type": "gradio.FileData"}


@pytest.fixture(scope="module")
def made(session):
    async def make():  # where no loop runs, gradio makes some and leaves them
        demo = app.build(session, title="tiny")
        return demo, server.make_app(demo, bound="127.0.0.1", host="127.0.0.1")

    demo, web = asyncio.run(make())
    yield demo, web
    demo.uploads.close()


@pytest.fixture
def demo(made):
    return made[0]


@pytest.fixture
def client(made):
    url = "http://localhost:7860"
    return TestClient(made[1], base_url=url, raise_server_exceptions=False)


def routes(demo):
    """Method and path of everything that gradio serves, with names filled in."""
    found = [
        inner
        for route in demo.blocks.app.routes
        for inner in getattr(getattr(route, "original_router", None), "routes", [route])
    ]
    for route in found:
        path = getattr(route, "path", "").replace("{path:path}", "x")
        for method in getattr(route, "methods", None) or ["GET"]:
            yield method, path.replace("{", "").replace("}", "").replace(":path", "")


HOSTS = ["evil.example", "evil.example:7860", "localhost.evil.example", "@"]
ORIGINS = [
    *("http://evil.example", "http://localhost:7860.evil.example", "null"),
    *("http://localhost:3000", "https://localhost", "http://evil@localhost:7860"),
    "file://localhost:7860",
]


def test_foreign_hosts_and_origins_are_refused_on_every_route(demo, client):
    every = {*routes(demo), ("OPTIONS", "/gradio_api/queue/join"), ("PUT", "/x")}
    assert len(every) > 80
    own = {"host": "localhost:7860"}
    for method, path in every:
        for host in HOSTS:
            answer = client.request(method, path, headers={"host": host})
            assert answer.status_code == 421
        for origin in ORIGINS:
            answer = client.request(method, path, headers={**own, "origin": origin})
            assert answer.status_code == 403, (method, path, origin)
            assert "access-control-allow-origin" not in answer.headers
        if path != "/":
            for site in ("cross-site", "same-site"):
                headers = {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
                assert client.request(method, path, headers=headers).status_code == 403
    for headers in (
        {"origin": "http://localhost:7860", "sec-fetch-site": "same-origin"},
        {"host": "127.0.0.1:7860", "origin": "http://localhost:7860"},
        {"host": "[::1]:7860"},
        {"host": "LOCALHOST:80"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ):
        answer = client.get("/", headers=headers)
        assert answer.status_code == 200, headers
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]


def test_names_of_a_server_that_listens_everywhere(monkeypatch):
    monkeypatch.setattr(gate.socket, "gethostname", lambda: "desk.lab")
    for bound in ("0.0.0.0", "::"):
        is_own = gate.is_own_name(bound, bound)
        mine = ["192.168.1.7", "fe80::1", "desk", "desk.lab", "localhost"]
        assert all(map(is_own, mine))
        assert not any(map(is_own, ["evil.example", "desk.evil.example", "1.2.3", ""]))
    is_own = gate.is_own_name("192.168.1.7", "Desk")
    assert is_own("desk") and is_own("192.168.1.7") and is_own("127.0.0.1")
    assert not is_own("192.168.1.8") and not is_own("desk.lab")


def test_what_the_page_does_not_use_is_not_served(demo, client):
    served = {path for method, path in routes(demo) if asked(client, method, path)}
    assert served <= {
        *("/", "/config", "/config/", "/theme.css", "/favicon.ico", "/manifest.json"),
        *("/robots.txt", "/static/x", "/assets/x"),
        *(f"/gradio_api/{name}" for name in ("info", "info/", "app_id", "app_id/")),
        *(f"/gradio_api/{name}" for name in ("startup-events", "theme.css")),
        *(f"/gradio_api/{name}" for name in ("upload", "upload_progress")),
        *(f"/gradio_api/{name}" for name in ("queue/join", "queue/data", "cancel")),
        *("/gradio_api/run/api_name", "/gradio_api/heartbeat/session_hash"),
    }
    assert not asked(client, "POST", "/gradio_api/component_server")
    assert not asked(client, "GET", "/gradio_api/proxy=https://a.hf.space/x")


def asked(client, method, path):
    """Whether a route is let through; of streams, that a nameless one is refused."""
    if method == "HEAD":
        return False
    if path.startswith("/gradio_api/heartbeat"):
        path = "/gradio_api/heartbeat/no name"
    answer = client.request(method, path)
    closed = {"the page has nothing here", "only uploads are served, for an hour"}
    return answer.status_code not in (403, 404, 405) or (
        "json" in answer.headers.get("content-type", "")
        and answer.json().get("detail") not in {*closed, "Not Found"}
    )


def test_gradios_own_check_of_paths_is_on_behind_the_gate(demo, client, monkeypatch):
    monkeypatch.setattr(demo.uploads, "owns", lambda path: True)
    secret = demo.uploads.folder.parent / "stylegan_jax_secret.txt"
    secret.write_text("a secret")
    functions = [fn for fn in demo.blocks.fns.values() if not fn.queue and fn.inputs]
    assert functions
    try:
        for fn in functions:
            call = {
                "fn_index": fn._id,
                "data": [{"path": str(secret), "meta": FILE}] * len(fn.inputs),
                "session_hash": "v1",
            }
            answer = client.post("/gradio_api/run/predict", json=call)
            assert answer.status_code == 500 and answer.json()["error"] is None
        assert not list(demo.uploads.folder.rglob("*secret*"))
    finally:
        secret.unlink()


def test_queued_functions_cannot_be_called_past_the_queue(demo, client):
    fn = next(fn for fn in demo.blocks.fns.values() if fn.queue)
    call = {"fn_index": fn._id, "data": [None] * len(fn.inputs), "session_hash": "v1"}
    assert client.post("/gradio_api/run/predict", json=call).status_code == 404


@contextlib.contextmanager
def is_open(demo, name):
    """A visitor whose page is open."""
    demo.visitors._open[False][name] += 1
    yield
    del demo.visitors._open[False][name]


def test_room_is_made_for_visitors_by_forgetting_those_who_left(demo, monkeypatch):
    monkeypatch.setattr(server, "_MOST_VISITORS", 2)
    holder, ask = demo.blocks.state_holder, server._has_room
    holder.session_data.clear()
    with is_open(demo, "old"):
        assert holder["old"] and holder["left"]
        assert ask(demo.blocks, demo.visitors, "old")
        assert ask(demo.blocks, demo.visitors, "new")
        assert list(holder.session_data) == ["old"]
        assert holder["new"]
        with is_open(demo, "new"):
            assert not ask(demo.blocks, demo.visitors, "newer")


def test_uploads_are_kept_for_an_hour_and_never_without_bound(demo, monkeypatch):
    uploads = demo.uploads
    names = ["a.png", "../../b.png", "", "c" * 999]
    paths = [uploads._store(name, name.encode() + b"x") for name in names]
    assert all(uploads.owns(str(path)) for path in paths)
    assert len({path.parent for path in paths}) == 4
    for other in ("/etc/passwd", "/dev/zero", str(uploads.folder), "a.png", "\0"):
        assert not uploads.owns(other)
    assert not uploads.owns(f"{paths[0].parent}/../../../etc/passwd")
    link = uploads.folder / "link"
    link.symlink_to("/etc/passwd")
    assert not uploads.owns(str(link))
    link.unlink()
    monkeypatch.setattr("stylegan_jax.demo.uploads._MOST_KEPT", 1000)
    last = uploads._store("last.png", b"x" * 999)
    assert [path for path in (*paths, last) if path.exists()] == [last]
    monkeypatch.setattr("stylegan_jax.demo.uploads._KEPT_SECONDS", 0)
    uploads.sweep()
    assert not list(uploads.folder.iterdir())


class FakeQueue(visitors.FairQueue):
    """With events that were put into it."""

    def __init__(self, here):
        self._visitors = types.SimpleNamespace(listens=lambda name: name in here)
        self._served, self._count = {}, 0
        self.event_queue_per_concurrency_id = {}
        self.event_ids_to_events, self.pending_event_ids_session = {}, {}

    def put(self, visitor, address="1", age=0.0):
        lane = self.event_queue_per_concurrency_id.setdefault(
            "search",
            types.SimpleNamespace(queue=[], concurrency_limit=1, current_concurrency=0),
        )
        event = types.SimpleNamespace(
            session_hash=visitor,
            request=types.SimpleNamespace(client=types.SimpleNamespace(host=address)),
            enqueue_time=visitors.time.monotonic() - age,
            _id=len(lane.queue),
        )
        lane.queue.append(event)
        return lane

    def order(self):
        found = []
        while events := self.get_events():
            found.append(events[0][0].session_hash)
        return found


def test_who_was_served_last_comes_last():
    queue = FakeQueue({"a", "b", "c"})
    for visitor in "aaaabb":
        queue.put(visitor)
    queue.put("c", address="2")
    assert queue.order() == ["a", "c", "b", "a", "b", "a", "a"]
    queue.put("b")
    lane = queue.put("a")
    lane.current_concurrency = 1
    assert queue.order() == []
    lane.current_concurrency = 0
    assert queue.order() == ["b", "a"]


def test_who_does_not_listen_is_not_served_and_then_forgotten():
    queue = FakeQueue({"a"})
    queue.put("gone", age=11)
    lane = queue.put("late", age=1)
    queue.put("a")
    assert queue.order() == ["a"]
    assert [event.session_hash for event in lane.queue] == ["late"]


def test_the_search_of_a_visitor_who_leaves_is_stopped(monkeypatch):
    monkeypatch.setattr(visitors, "_BLINK", 0.05)
    found = visitors.Visitors()

    async def visit():
        with found.connected("a", listens=True):
            left = found.begin("a")
        with found.connected("b", listens=True):
            back = found.begin("b")
        with found.connected("b", listens=True):
            await asyncio.sleep(0.3)
            assert found.listens("b") and not found.here("a")
            return left, back.is_set()

    left, back = asyncio.run(visit())
    assert isinstance(left, threading.Event) and left.is_set() and not back


def test_calls_that_are_none_are_refused(client):
    deep = json.loads("[" * 40 + "]" * 40)
    calls = [
        {"session_hash": "v1", "data": deep},
        {"session_hash": "a b", "data": []},
        {"data": []},
        {"session_hash": "v1", "data": [], "fn_index": 10**9},
    ]
    bad = [b"[1]", b"{", b"[" * 20_000, *map(json.dumps, calls)]
    large = [b" " * 40_000, iter([b" " * 1000] * 40)]
    for body, status in [*((b, 400) for b in bad), *((b, 413) for b in large)]:
        answer = client.post(
            "/gradio_api/queue/join",
            content=body,
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == status, (str(body)[:80], answer.text)
    for path in ("/gradio_api/heartbeat/a b", "/gradio_api/queue/data"):
        assert client.get(path).status_code == 400
