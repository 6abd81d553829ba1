"""Names of strangers on the terminal: shown, not obeyed."""

import io
import logging
import sys

import pytest
from rich.console import Console

from stylegan_jax.commands import running
from stylegan_jax.errors import UserError
from stylegan_jax.io import terminal

HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b31m\r\x08\u202egnp.exe\ud800\u2028[red]é 猫"
# Markup of rich is text.
SHOWN = r"\x1b[2J\x1b]0;title\x07\x9b31m\r\x08\u202egnp.exe\ud800\u2028[red]é 猫"


def test_control_characters_are_spelt_out() -> None:
    assert terminal.printable(HOSTILE) == SHOWN
    assert terminal.printable("a\tb\nc") == "a\tb\nc"


def test_prints_and_logs_are_shown_and_rich_keeps_its_colours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, errors = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", errors)
    with terminal.only_shown():
        print(HOSTILE)
        logging.StreamHandler().handle(
            logging.makeLogRecord({"msg": HOSTILE, "levelno": 30})
        )
        Console(force_terminal=True, color_system="standard").print("[red]a[/]")
        with terminal.obeyed():
            print("\x1b[1mb")
    assert output.getvalue() == f"{SHOWN}\n\x1b[31ma\x1b[0m\n\x1b[1mb\n"
    assert errors.getvalue() == f"{SHOWN}\n"
    assert sys.stdout is output


@pytest.mark.parametrize("kind", [UserError, FileNotFoundError])
def test_an_error_of_a_command_cannot_steer_the_terminal(
    kind: type[Exception], capsys: pytest.CaptureFixture
) -> None:
    def main() -> None:
        print("\x1b[2J")
        raise kind("\x1b]0;a\x07\u202e")

    with pytest.raises(SystemExit, match="2"):
        running.run_main(main)
    output, errors = capsys.readouterr()
    assert output == "\\x1b[2J\n"
    assert "error: \\x1b]0;a\\x07\\u202e\n" in errors
