"""Serves the page on this machine, and lets it ask no other."""

import socket
from typing import Any

import fastapi
import gradio as gr
import uvicorn

from stylegan_jax.common.errors import UserError
from stylegan_jax.demo import app

_MAX_UPLOAD = "30mb"
# What the browser enforces: scripts, pictures and connections are this server's own.
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
)


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address.

    Args:
        host: such as 127.0.0.1, this machine only.
        port: 0 takes a free one.

    Raises:
        UserError: the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise UserError(
            f"cannot serve at {host} port {port} ({error}); give another --port, or 0 "
            "for any that is free"
        ) from error
    return listener


def make_app(blocks: gr.Blocks) -> fastapi.FastAPI:
    """The web application of a page, with a policy that keeps it to itself."""
    outer = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    outer.add_middleware(_Policy)
    return gr.mount_gradio_app(
        outer,
        blocks,
        path="",
        theme=app.theme(),
        css=app.CSS,
        footer_links=[],
        max_file_size=_MAX_UPLOAD,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        show_error=True,
    )


class _Policy:
    """Adds the headers; an ASGI application, for streams must pass as they are."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        await self._inner(scope, receive, with_headers)


def serve(blocks: gr.Blocks, listener: socket.socket) -> None:
    """Serves until it is interrupted."""
    config = uvicorn.Config(
        make_app(blocks), log_level="warning", timeout_graceful_shutdown=1
    )
    uvicorn.Server(config).run(sockets=[listener])


def address(listener: socket.socket) -> str:
    """What to open in a browser."""
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/"
