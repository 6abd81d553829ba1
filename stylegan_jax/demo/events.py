"""How the page calls functions: errors become messages, nothing is an interface."""

import functools
import inspect
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from stylegan_jax.common.errors import UserError

_log = logging.getLogger(__name__)

# Drawing goes on while somebody searches; two searches at once would both be slow. The
# queue costs some 25 ms of a drawing's 60, but without it gradio shows no errors.
DRAW: dict[str, Any] = {"concurrency_id": "draw", "concurrency_limit": 2}
SEARCH: dict[str, Any] = {"concurrency_id": "search", "concurrency_limit": 1}


def listen(
    events: Sequence[Any],
    function: Callable[..., Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    *,
    search: bool = False,
) -> Any:
    """Calls a function at events; while it runs, the newest of further ones waits.

    Args:
        events: such as `slider.input`.
        function: or generator function.
        inputs: components.
        outputs: components.
        search: it takes long, and is done one after the other.
    """
    return gr.on(
        list(events),
        guarded(function),
        list(inputs),
        list(outputs),
        show_progress="hidden",
        trigger_mode="once" if search else "always_last",
        api_visibility="private",
        **(SEARCH if search else DRAW),
    )


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its errors as messages on the page.

    `UserError` is shown as it is. What else goes wrong is a bug: it is logged, and the
    page says so without a traceback.
    """

    def message(error: Exception) -> gr.Error:
        if isinstance(error, gr.Error):
            return error
        if not isinstance(error, UserError):
            _log.error("%s failed", function.__name__, exc_info=error)
            text = f"{type(error).__name__} in the program; its terminal says more"
            return gr.Error(text, print_exception=False)
        text = str(error)
        return gr.Error(text[:1].upper() + text[1:], print_exception=False)

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generate(*args: Any) -> Iterator[Any]:
            try:
                yield from function(*args)
            except Exception as error:
                raise message(error) from None

        return generate

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        try:
            return function(*args)
        except Exception as error:
            raise message(error) from None

    return call


class Stops:
    """Who may stop what: one search for each visitor."""

    def __init__(self) -> None:
        """Nobody searches."""
        self._events: dict[str, threading.Event] = {}

    def begin(self, visitor: str | None) -> threading.Event:
        """A fresh flag for a visitor's search."""
        event = threading.Event()
        self._events[visitor or ""] = event
        return event

    def stop(self, visitor: str | None) -> None:
        """Sets the flag of a visitor's search, if there is one."""
        event = self._events.pop(visitor or "", None)
        if event is not None:
            event.set()
