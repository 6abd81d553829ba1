"""Stopping at the end of a step."""

import os
import signal

import pytest

from stylegan_jax.distributed import parallel
from stylegan_jax.training.interrupt import StopSignal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_for_a_stop_and_the_handlers_come_back(number, capfd):
    before = signal.getsignal(number)
    with StopSignal(parallel.make_mesh(1)) as stop:
        stop.agree()
        assert not stop.agreed and stop.wait(lambda: True)
        os.kill(os.getpid(), number)
        assert stop.received == number and not stop.agreed
        stop.agree()
        assert stop.agreed == number and not stop.wait(lambda: False)
    assert signal.getsignal(number) is before
    assert "stopping after this step" in capfd.readouterr().err


def test_a_second_interrupt_stops_at_once():
    with StopSignal(parallel.make_mesh(1)) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.received == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
