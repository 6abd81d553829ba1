"""Programs that do more than array operations, or end the process that runs them."""

import dataclasses
import subprocess
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.extend.mlir import ir
from jax.interpreters import mlir

from stylegan_jax.errors import UserError
from stylegan_jax.features import exported_function
from stylegan_jax.interop import sampler_program
from stylegan_jax.io import programs
from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.networks.generator import init_generator

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
    text = f"%y0 = stablehlo.constant dense<0.0> : {FEATURES}\n"
    for i in range(1, depth + 1):
        other = f"%z{i} = stablehlo.constant dense<1.0> : {FEATURES}"
        text = (
            f"%x{i} = stablehlo.constant dense<true> : tensor<i1>\n%y{i} = "
            f'"stablehlo.if"(%x{i}) ({{ {text} stablehlo.return %y{i - 1} : {FEATURES} '
            f"}}, {{ {other} stablehlo.return %z{i} : {FEATURES} }})"
            f" : (tensor<i1>) -> {FEATURES}\n"
        )
    return f"{text} %0 = stablehlo.add %y{depth}, %y{depth} : {FEATURES}"


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
    "doubling calls": (program(call("f0"), doubling(30)), r"\d{7,} operations"),
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
    "no function main": (
        program(ZEROS).replace("@main", "@other"),
        "no function 'main'",
    ),
}


@pytest.fixture(scope="module")
def good() -> export.Exported:
    """A program that is as harmless as it says."""
    images = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
    function = jax.jit(lambda images: images[:, 0, 0, :1] + jnp.zeros((1, 4)))
    return export.export(function)(images)


def forged(good: export.Exported, text: str) -> export.Exported:
    """What says of itself what `good` does, and is another program."""
    # Not by JAX's own writer, which some of these programs end as well.
    with mlir.make_ir_context():
        data = mlir.module_to_bytecode(ir.Module.parse(text))
    return dataclasses.replace(good, mlir_module_serialized=data)


@pytest.fixture
def write(good: export.Exported, tmp_path: Path) -> Callable[[str], Path]:
    """Writes a program of the text that says of itself what `good` does."""

    def write(text: str) -> Path:
        path = tmp_path / "a.jaxexport"
        programs.write(path, forged(good, text))
        return path

    return write


@pytest.mark.parametrize("name", REFUSED)
def test_programs_of_more_than_array_operations_are_refused_unrun(
    name: str, write: Callable[[str], Path]
) -> None:
    text, message = REFUSED[name]
    path = write(text)
    with pytest.raises(programs.RejectedProgramError, match=message):
        programs.check_operations(programs.read(path, again="exported_function.save"))


def test_a_program_is_read_in_another_process_first(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Reading this one here would end the tests, were it read before it is refused."""
    monkeypatch.setenv("STYLEGAN_JAX_CACHE", str(tmp_path))
    path = write(REFUSED["external function"][0])
    with pytest.raises(UserError, match=r"without body.*write it again"):
        exported_function.load(path)
    path.write_bytes(b"\0" * 100)
    with pytest.raises(UserError, match=r"is damaged or no jax\.export file"):
        exported_function.load(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(UserError, match="there is no such file"):
        exported_function.load(path)


ENDLESS = (
    f"%1 = stablehlo.constant dense<0.0> : {FEATURES}\n"
    f"%0 = stablehlo.while(%a = %1) : {FEATURES} cond {{\n"
    "%2 = stablehlo.constant dense<true> : tensor<i1>\n"
    "stablehlo.return %2 : tensor<i1> } do {\n"
    f"%3 = stablehlo.add %a, %a : {FEATURES}\n stablehlo.return %3 : {FEATURES} }}"
)
# 8 GB, which no simplification avoids.
LARGE = (
    "%1 = stablehlo.iota dim = 0 : tensor<2147483648xf32>\n"
    '%2 = "stablehlo.sort"(%1) ({^bb0(%a: tensor<f32>, %b: tensor<f32>):\n'
    "%c = stablehlo.compare GT, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1>\n"
    "stablehlo.return %c : tensor<i1> }) : (tensor<2147483648xf32>) -> "
    "tensor<2147483648xf32>\n"
    "%3 = stablehlo.slice %2 [0:4] : (tensor<2147483648xf32>) -> tensor<4xf32>\n"
    f"%0 = stablehlo.reshape %3 : (tensor<4xf32>) -> {FEATURES}"
)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("body", "message"),
    [(ENDLESS, "takes more than 8 seconds"), (LARGE, "refuses these images|ends the")],
    ids=["endless", "large"],
)
def test_what_only_running_shows_is_found_in_a_process_within_bounds(
    body: str,
    message: str,
    write: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("STYLEGAN_JAX_CACHE", str(tmp_path))
    monkeypatch.setattr(programs, "SECONDS", 8)
    path = write(program(body))
    features = exported_function.load(path)
    with pytest.raises(UserError, match=message):
        features(jnp.zeros((1, 8, 8, 3), jnp.uint8))


@pytest.mark.thorough
def test_what_passed_is_tried_once_for_each_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLEGAN_JAX_CACHE", str(tmp_path))
    path = tmp_path / "a.jaxexport"
    exported_function.save(lambda x: x.mean((1, 2)), path, resolution=8)
    started = []
    plain = subprocess.run

    def run(words: list[str], **options):
        started.append(words[4])
        return plain(words, **options)

    monkeypatch.setattr(programs.subprocess, "run", run)
    for count in (1, 1, 2):
        features = exported_function.load(path)
        found = features(jnp.ones((count, 16, 16, 3), jnp.uint8))
        np.testing.assert_allclose(found, np.ones((count, 3)), rtol=1e-6)
    assert started == ["null", "[[1, 8, 8, 3]]", "[[2, 8, 8, 3]]"]


@pytest.mark.thorough
def test_honest_programs_pass(tmp_path: Path) -> None:
    """What networks are made of, with loops, conditionals and derivatives."""
    weights = jnp.ones((3, 3, 3, 5))

    def embed(images: jax.Array) -> jax.Array:
        def body(carry: jax.Array, _: None) -> tuple[jax.Array, None]:
            positive = jax.lax.cond(carry.sum() > 0, jnp.tanh, jnp.sin, carry)
            return jax.nn.gelu(positive, approximate=False), None

        x = jax.lax.conv_general_dilated(
            images / 255,
            weights,
            (2, 2),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = jax.lax.reduce_window(
            x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
        )
        x = jax.image.resize(x, (x.shape[0], 4, 4, 5), "linear")
        x = jax.lax.scan(body, jax.nn.softmax(x), None, 3)[0].mean((1, 2))
        best = jnp.sort(x, axis=1)[:, -2:]
        return jnp.concatenate([x, best, jax.lax.erf_inv(x), jnp.arctan(x)], axis=1)

    path = tmp_path / "a.jaxexport"
    exported_function.save(embed, path, resolution=8)
    assert programs.problem(str(path), [[2, 8, 8, 3]]) is None

    model = ModelConfig(
        resolution=8,
        z_dim=2,
        w_dim=2,
        mapping_width=2,
        mapping_layers=1,
        channel_base=16,
        channel_max=2,
        label_size=2,
    )
    generator = init_generator(jax.random.key(0), model)
    sampler_program.save(path, generator)
    assert programs.problem(str(path), [[2, 2], [], [2, 2]]) is None
