"""Server of the page on this machine, without requests to others."""

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator

import fastapi
import gradio as gr
import uvicorn

from stylegan_jax.demo import app
from stylegan_jax.demo.app import Demo
from stylegan_jax.demo.gate import Gate, is_own_name
from stylegan_jax.demo.uploads import Uploads
from stylegan_jax.demo.visitors import Visitors
from stylegan_jax.errors import UserError

# Whose state is kept, of some 200 kB; gradio empties it an hour after the page closed.
_MOST_VISITORS = 500
_SWEEP_SECONDS = 60


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address, port 0 for a free one; UserError if it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise UserError(
            f"cannot serve at {host} port {port} ({error}); give another `port`, or 0 "
            "for any that is free"
        ) from error
    return listener


def make_app(demo: Demo, *, bound: str, host: str) -> Gate:
    """The page's web application behind the gate; hosts as in `is_own_name`."""
    blocks = demo.blocks

    @contextlib.asynccontextmanager
    async def lifespan(_: fastapi.FastAPI) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(_sweep(demo.uploads))
        try:
            yield
        finally:
            sweeper.cancel()
            demo.uploads.close()

    outer = fastapi.FastAPI(
        docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan
    )
    gr.mount_gradio_app(
        outer,
        blocks,
        path="",
        theme=app.THEME,
        css_paths=app.CSS,
        head=app.LOADING,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        show_error=False,  # but for messages, which are meant to be shown
    )
    # Only gradio's `launch` sets it, and without it paths are not checked.
    blocks.has_launched = True

    admit = functools.partial(_has_room, blocks, demo.visitors)
    is_own = is_own_name(bound, host)
    return Gate(outer, is_own, demo.uploads, demo.visitors, admit, blocks.fns)


def serve(demo: Demo, listener: socket.socket, host: str) -> None:
    """Serves until interrupted."""
    bound = listener.getsockname()[0]
    config = uvicorn.Config(
        make_app(demo, bound=bound, host=host),
        http="h11",  # which bounds headers
        ws="none",
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[listener])


def address(listener: socket.socket) -> str:
    """The URL for a browser."""
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/"


def _has_room(blocks: gr.Blocks, visitors: Visitors, visitor: str) -> bool:
    """Whether a visitor is known, or there is room after removing one who left."""
    known = blocks.state_holder.session_data
    if visitor in known or len(known) < _MOST_VISITORS:
        return True
    gone = next((other for other in known if not visitors.here(other)), None)
    if gone is None:
        return False
    with blocks.state_holder.lock:
        known.pop(gone, None)
        blocks.state_holder.time_last_used.pop(gone, None)
    blocks._queue.pending_event_ids_session.pop(gone, None)
    return True


async def _sweep(uploads: Uploads) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        await asyncio.to_thread(uploads.sweep)
