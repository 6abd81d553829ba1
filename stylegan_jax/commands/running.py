"""Entry-point wrapper: one line for mistakes, tracebacks for bugs."""

import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

from stylegan_jax.commands.cli import as_flags
from stylegan_jax.errors import AgreedError, LostProcessError, UserError, disk_trouble
from stylegan_jax.io import terminal

TRACEBACK_VARIABLE = "STYLEGAN_JAX_TRACEBACK"
_BUG = "This is a bug in stylegan_jax: report it with the lines above and the command."
_USERS_MISTAKES = (
    UserError,
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


def run_main(main: Callable[[], object]) -> NoReturn:
    """Runs an entry point and exits; mistakes become one line, status 2.

    Those are `UserError`, missing or forbidden files, and a full disk; everything else
    is a bug and keeps its traceback. STYLEGAN_JAX_TRACEBACK in the environment shows it
    for mistakes too. Output cannot steer the terminal.
    """
    with terminal.only_shown():
        _run_main(main)


def _run_main(main: Callable[[], object]) -> NoReturn:
    _warn_on_stderr()
    try:
        try:
            main()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Of `... | head`: nobody reads on, and Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(0)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        _leave(130)
    except Exception as error:
        trouble = disk_trouble(error)
        expected = isinstance(error, _USERS_MISTAKES)
        if isinstance(error, OSError) and trouble:
            place = f" ({error.filename})" if error.filename else ""
            error = UserError(
                f"{trouble}{place}; mend that or name another place, and give the same "
                "command again"
            )
            expected = True
        if os.environ.get(TRACEBACK_VARIABLE) or not expected:
            traceback.print_exc()
            if not expected:
                print(_BUG, file=sys.stderr)
            _leave(2 if expected else 1)
        print(f"error: {error}", file=sys.stderr)
        if not isinstance(error, UserError):
            print(f"  ({TRACEBACK_VARIABLE}=1 shows more)", file=sys.stderr)
        status = 75 if isinstance(error, LostProcessError) else 2
        _leave(status, together=isinstance(error, AgreedError))
    _leave(0)


def _warn_on_stderr() -> None:
    # This handler looks sys.stderr up at every line, so warnings appear above a live
    # display; the one that libraries would install keeps the stream of its birth.
    handler, root = logging.lastResort, logging.getLogger()
    for other in root.handlers[:]:
        if type(other) is logging.StreamHandler:  # of `basicConfig`: absl, by Orbax
            root.removeHandler(other)
    if handler is not None and not root.handlers:
        handler.setFormatter(_Formatter("%(levelname)s: %(message)s"))
        root.addHandler(handler)


def _leave(status: int, *, together: bool = False) -> NoReturn:
    jax = sys.modules.get("jax")
    joined = jax is not None and jax.distributed.is_initialized()
    # A normal exit would wait for the other processes, and they for us ...
    alone = joined and status and not together
    # ... or for a step that compiles for nothing (training/compiling.py).
    compiling = any(x.name == "compile" for x in threading.enumerate())
    if not alone and not compiling:
        sys.exit(status)
    if jax is not None and joined and not alone:
        jax.distributed.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return as_flags(super().format(record))
