"""Feature functions that do more than array operations."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stylegan_jax.common.errors import UserError
from stylegan_jax.features import exported_function


def program(text: str, derivative: str = "") -> Any:
    """What is looked at of an exported function."""
    vjp = SimpleNamespace(mlir_module=lambda: derivative)
    return SimpleNamespace(
        mlir_module=lambda: text, has_vjp=lambda: bool(derivative), vjp=lambda: vjp
    )


@pytest.mark.parametrize("where", [0, 1])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('%1 = "stablehlo.infeed"(%0)', "waits for data"),
        ("%1 = stablehlo.recv %0", "waits for data"),
        ("%1 = stablehlo.custom_call @xla_ffi_python_cpu_callback(%0)", "calls"),
        ('%1 = "stablehlo.custom_call"(%0) {call_target_name = "system"}', "calls"),
    ],
)
def test_programs_that_reach_outside_are_refused(
    text: str, message: str, where: int
) -> None:
    pair = ["%1 = stablehlo.add %0, %0", "%1 = stablehlo.add %0, %0"]
    exported_function._check_calls(program(*pair), Path("a"))
    pair[where] = text
    with pytest.raises(UserError, match=message):
        exported_function._check_calls(program(*pair), Path("a"))
