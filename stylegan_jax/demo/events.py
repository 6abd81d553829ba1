"""How the page calls functions: errors become messages, nothing is an interface."""

import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from stylegan_jax.demo.visitors import SEARCH
from stylegan_jax.errors import UserError

_log = logging.getLogger(__name__)

# Drawing goes on while somebody searches, or a large photograph is read; two searches
# at once would both be slow. The queue costs some 25 ms of a drawing's 60, but without
# it gradio shows no errors.
_LANES = {"draw": 2, "read": 1, SEARCH: 1}


def listen(
    events: Sequence[Any],
    function: Callable[..., Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    *,
    lane: str = "draw",
) -> Any:
    """Calls a function at events; while it runs, the newest of further ones waits.

    Args:
        events: such as `slider.input`.
        function: or generator function.
        inputs: components.
        outputs: components.
        lane: the queue they wait in, of `_LANES`, which has how many run at once.
    """
    return gr.on(
        list(events),
        guarded(function),
        list(inputs),
        list(outputs),
        show_progress="hidden",
        trigger_mode="once" if lane == SEARCH else "always_last",
        api_visibility="private",
        concurrency_id=lane,
        concurrency_limit=_LANES[lane],
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
