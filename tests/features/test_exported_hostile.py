"""Programs that do more than array operations, or end the process that runs them."""

import dataclasses
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.extend.mlir import serialize_portable_artifact

from stylegan_jax.common import program_check, program_files
from stylegan_jax.common.errors import UserError
from stylegan_jax.features import exported_function
from stylegan_jax.interop import sampler_program
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import init_generator

VERSION = "1.9.0"  # of StableHLO; older ones are read by all later readers
IMAGES, FEATURES = "tensor<1x8x8x3xf32>", "tensor<1x4xf32>"
ZEROS = f"%0 = stablehlo.constant dense<0.0> : {FEATURES}"
END = f"func.return %0 : {FEATURES}"


def program(body: str, more: str = "", *, arguments: str = IMAGES) -> str:
    """A module whose main takes an image and returns `%0`."""
    return (
        f"module {{ func.func public @main(%arg0: {arguments}) -> {FEATURES} "
        f"{{ {body}\n {END} }}\n {more} }}"
    )


def call(name: str) -> str:
    return f"%0 = func.call @{name}(%arg0) : ({IMAGES}) -> {FEATURES}"


def function(name: str, body: str) -> str:
    return (
        f"func.func private @{name}(%arg0: {IMAGES}) -> {FEATURES} {{ {body}\n {END} }}"
    )


def conditionals(depth: int) -> str:
    """Conditionals in each other."""
    inner = f"%9 = stablehlo.constant dense<0.0> : {FEATURES}\n"
    for _ in range(depth):
        other = f"%8 = stablehlo.constant dense<1.0> : {FEATURES}"
        inner = (
            '%7 = stablehlo.constant dense<true> : tensor<i1>\n%9 = "stablehlo.if"(%7)'
            f" ({{ {inner} stablehlo.return %9 : {FEATURES} }},"
            f" {{ {other} stablehlo.return %8 : {FEATURES} }})"
            f" : (tensor<i1>) -> {FEATURES}\n"
        )
    return f"{inner} %0 = stablehlo.add %9, %9 : {FEATURES}"


def doubling(count: int) -> str:
    """Functions that call the next one twice."""
    functions = [function(f"f{count}", ZEROS)]
    for i in range(count):
        twice = call(f"f{i + 1}")
        functions.append(function(f"f{i}", f"{twice.replace('%0', '%1')}\n{twice}"))
    return "\n".join(functions)


def custom(target: str, extra: str = "") -> str:
    return (
        f"%0 = stablehlo.custom_call @{target}(%arg0) {{{extra}}} "
        f": ({IMAGES}) -> {FEATURES}"
    )


HUGE = 1 << 40
REFUSED = {
    "external function": (
        program(call("f"), f"func.func private @f({IMAGES}) -> {FEATURES}"),
        "without body",
    ),
    "recursion": (program(call("f"), function("f", call("f"))), "calls itself"),
    "mutual recursion": (
        program(call("f"), function("f", call("g")) + function("g", call("f"))),
        "calls itself",
    ),
    "conditionals": (program(conditionals(400)), r"nests \d+ deep"),
    "doubling calls": (program(call("f0"), doubling(30)), r"\d{8,} operations"),
    "impossible size": (
        program(
            f"%1 = stablehlo.constant dense<0.0> : tensor<f32>\n%2 = stablehlo"
            f".broadcast_in_dim %1, dims = [] : (tensor<f32>) -> tensor<{HUGE}xf32>\n"
            + ZEROS
        ),
        "holds an array",
    ),
    "impossible product": (
        program(
            "%1 = stablehlo.constant dense<0.0> : tensor<f32>\n%2 = stablehlo."
            "broadcast_in_dim %1, dims = [] : (tensor<f32>) -> "
            "tensor<65536x65536x65536x65536xf32>\n" + ZEROS
        ),
        "holds an array",
    ),
    "sharding with a tail": (program(custom('"Sharding x"')), "calls 'Sharding x'"),
    "callback": (program(custom("xla_ffi_python_cpu_callback")), "not trusted"),
    "linear algebra of the machine": (program(custom("lapack_sgetrf")), "not trusted"),
    "computation of a call": (
        program(custom("Sharding", "called_computations = [@f]"), function("f", ZEROS)),
        "not trusted",
    ),
    "infeed": (
        program(
            "%1 = stablehlo.create_token : !stablehlo.token\n"
            f'%0, %2 = "stablehlo.infeed"(%1) : (!stablehlo.token) -> ({FEATURES}, '
            "!stablehlo.token)"
        ),
        "no array operation",
    ),
    "other arguments": (
        program(ZEROS, arguments="tensor<1x8x8x4xf32>"),
        "other arguments",
    ),
    "two arguments": (
        program(ZEROS, arguments=f"{IMAGES}, %arg1: tensor<f32>").replace(
            ") -> tensor<1x4xf32> {", ") -> tensor<4xf32> {", 1
        ),
        "",
    ),
}


@pytest.fixture(scope="module")
def good() -> export.Exported:
    """A program that is as harmless as it says."""
    images = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
    function = jax.jit(lambda images: images[:, 0, 0, :1] + jnp.zeros((1, 4)))
    return export.export(function)(images)


@pytest.fixture
def write(good: export.Exported, tmp_path: Path) -> Callable[[str], Path]:
    """Writes a program of the text that says of itself what `good` does."""

    def write(text: str) -> Path:
        data = serialize_portable_artifact(text, VERSION)
        path = tmp_path / "a.jaxexport"
        program = dataclasses.replace(good, mlir_module_serialized=data)
        program_files.write(path, program)
        return path

    return write


@pytest.mark.parametrize("name", [name for name in REFUSED if REFUSED[name][1]])
def test_programs_of_more_than_array_operations_are_refused_unrun(
    name: str, write: Callable[[str], Path]
) -> None:
    text, message = REFUSED[name]
    path = write(text)
    with pytest.raises(program_check.RefusedProgramError, match=message):
        program_check.check_operations(
            program_files.read(path, again="exported_function.save")
        )
