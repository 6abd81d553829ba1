"""Filter of requests: hosts, origins, routes, sizes, and files named in values.

gradio also serves files by path, other servers' files, recordings and code editing.
Only the page's requests from its own origin pass, and values may name only uploads.
"""

import asyncio
import contextlib
import dataclasses
import ipaddress
import json
import re
import socket
from collections.abc import Callable, Container
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from stylegan_jax.demo.uploads import MOST_BYTES, Uploads
from stylegan_jax.demo.visitors import Visitors

_API = "/gradio_api/"
# Routes that the page requests.
_SEEN = re.compile(
    r"/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)?"
    r"|/(assets|static)/.+"
    r"|/gradio_api/(info|startup-events|theme\.css|app_id|queue/data|upload_progress)"
    r"|/gradio_api/heartbeat/[^/]+"
    r"|/gradio_api/file=.+"
)
_SENT = {f"{_API}{name}" for name in ("queue/join", "run/predict", "cancel")}
_UPLOAD = f"{_API}upload"
_VISITOR = re.compile(r"[\w-]{1,64}")
_MOST_JSON = 32 << 10  # bytes; the page sends some hundred
_MOST_DEPTH = 16
_PATIENCE = 30  # seconds without a byte of a request
# Of a call; gradio takes others that are for its own use.
_FIELDS = ("data", "event_data", "fn_index", "session_hash", "trigger_id", "event_id")

# Enforced by the browser: scripts, pictures and connections of this server only.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "media-src 'self' data: blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'self'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


def is_own_name(bound: str, host: str) -> Callable[[str], bool]:
    """Predicate for host names of a server that listens at `bound`.

    Loopback names, that address, and `host`. A server at all addresses also accepts
    every numeric address (no foreign domain can be one) and the machine's name.
    """
    names = {"localhost", "127.0.0.1", "::1", bound.lower(), host.lower()}
    everywhere = ipaddress.ip_address(bound.split("%")[0]).is_unspecified
    if everywhere:
        machine = socket.gethostname().lower()
        names |= {machine, machine.split(".")[0], f"{machine}.local"}

    def is_own(name: str) -> bool:
        if everywhere:
            with contextlib.suppress(ValueError):
                ipaddress.ip_address(name)
                return True
        return name in names

    return is_own


@dataclasses.dataclass(frozen=True)
class Gate:
    """ASGI filter before gradio's application."""

    inner: Any
    is_own: Callable[[str], bool]  # of host names
    uploads: Uploads
    visitors: Visitors
    admit: Callable[[str], bool]  # of visitors
    functions: Container[int]  # that can be called, by index

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes a request on, or rejects it."""
        if scope["type"] == "lifespan":
            await self.inner(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        request = Request(scope, receive)
        try:
            check_origin(request, self.is_own)
            answer = await self._answer(request, with_headers)
        except HTTPException as rejected:
            answer = JSONResponse({"detail": rejected.detail}, rejected.status_code)
        except (ClientDisconnect, TimeoutError):
            return
        if answer is not None:
            await answer(scope, receive, with_headers)

    async def _answer(self, request: Request, send: Any) -> Response | None:
        """The response; None where the application has given it."""
        scope, receive = request.scope, request.receive
        path, method = request.url.path.rstrip("/") or "/", request.method
        if method == "POST" and path == _UPLOAD:
            bounded = Request(scope, _bounded(receive, MOST_BYTES))
            return JSONResponse(await self.uploads.receive(bounded))
        if method == "POST" and path in _SENT:
            body = await _json(Request(scope, _bounded(receive, _MOST_JSON)))
            self._check_call(body)
            await self.inner(scope, _replayed(body, receive), send)
            return None
        if method not in ("GET", "HEAD") or not _SEEN.fullmatch(path):
            raise HTTPException(404, "the page has nothing here")
        file = path.removeprefix(f"{_API}file=")
        if file != path and not self.uploads.owns(file):
            raise HTTPException(403, "only uploads are served, for an hour")
        if path == f"{_API}upload_progress":  # asked when files have begun to come
            return PlainTextResponse(
                'data: {"msg": "done"}\n\n', media_type="text/event-stream"
            )
        visitor, listens = request.query_params.get("session_hash"), True
        if path.startswith(f"{_API}heartbeat/"):
            visitor, listens = path.rpartition("/")[2], False
        if path == f"{_API}queue/data" or not listens:
            self._check_visitor(visitor)
            with self.visitors.connected(str(visitor), listens=listens):
                await self.inner(scope, receive, send)
            return None
        await self.inner(scope, receive, send)
        return None

    def _check_visitor(self, visitor: Any) -> None:
        if not isinstance(visitor, str) or not _VISITOR.fullmatch(visitor):
            raise HTTPException(400, "no visitor is called so")
        if not self.admit(visitor):
            raise HTTPException(503, "too many visitors are here; try again later")

    def _check_call(self, body: dict[str, Any]) -> None:
        """Rejects calls that gradio would misunderstand, or that name other files."""
        self._check_visitor(body.get("session_hash"))
        number = body.get("fn_index")
        if not isinstance(number, int) or number not in self.functions:
            raise HTTPException(400, "the page has no such function")
        rest = [(value, 0) for value in body.values()]
        while rest:
            value, depth = rest.pop()
            if depth > _MOST_DEPTH:
                raise HTTPException(400, "the values are nested too deeply")
            if isinstance(value, dict):
                path = value.get("path")
                if path is not None and not (
                    isinstance(path, str) and self.uploads.owns(path)
                ):
                    raise HTTPException(403, "values may name no files but uploads")
                value = list(value.values())
            if isinstance(value, list):
                rest += [(part, depth + 1) for part in value]


def check_origin(request: Request, is_own: Callable[[str], bool]) -> None:
    """HTTP 421 for a foreign `Host`, 403 for a foreign `Origin` or page; links pass."""
    hosts = request.headers.getlist("host")
    name, port = _split("//" + hosts[0]) if len(hosts) == 1 else (None, None)
    if name is None or not is_own(name):
        raise HTTPException(421, "not a name of this server; use the printed address")
    for origin in request.headers.getlist("origin"):
        other, other_port = _split(origin)
        if other is None or not is_own(other) or other_port != port:
            raise HTTPException(403, "pages of other servers may not ask this one")
    site = request.headers.get("sec-fetch-site", "none")
    linked = request.headers.get("sec-fetch-mode") == "navigate" and (
        request.method == "GET" and request.url.path == "/"
    )
    if site not in ("none", "same-origin") and not linked:
        raise HTTPException(403, "pages of other servers may only link here")


def _split(address: str) -> tuple[str | None, int | None]:
    """Host and port of an address; no host if it has other parts."""
    try:
        parts = urlsplit(address)
        plain = parts.scheme in ("", "http", "https") and not (
            parts.path or parts.query or parts.fragment or "@" in parts.netloc
        )
        return (parts.hostname if plain else None), parts.port
    except ValueError:
        return None, None


def _bounded(receive: Any, most: int) -> Any:
    """Receives a body of at most `most` bytes, each piece within half a minute."""
    size = 0

    async def bounded() -> Any:
        nonlocal size
        message = await asyncio.wait_for(receive(), _PATIENCE)
        size += len(message.get("body", b""))
        if size > most:
            raise HTTPException(413, f"a request has at most {most} bytes")
        return message

    return bounded


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
        return {name: body[name] for name in _FIELDS if name in body}
    except (ValueError, TypeError, RecursionError) as error:
        raise HTTPException(400, "the request is not a call of the page") from error


def _replayed(body: dict[str, Any], receive: Any) -> Any:
    """Receives a body that was read already, then further messages."""
    left = [{"type": "http.request", "body": json.dumps(body).encode()}]

    async def replayed() -> Any:
        return left.pop() if left else await receive()

    return replayed
