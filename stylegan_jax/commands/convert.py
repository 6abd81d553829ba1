"""Converts networks: `python -m stylegan_jax.convert SOURCE DESTINATION`.

The written weights (of a sampler the images) are read back and compared one by one.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import jax
import tyro

from stylegan_jax import loading
from stylegan_jax.commands import cli
from stylegan_jax.errors import UserError
from stylegan_jax.interop import onnx_sampler, registry, sampler_program
from stylegan_jax.interop.bundle import Bundle
from stylegan_jax.interop.conversion import DType, Format, write
from stylegan_jax.io import outputs
from stylegan_jax.networks.generator import Generator

_FORMATS: tuple[Format, ...] = ("safetensors", "pkl", "jaxexport", "onnx")
_SAMPLERS = {"jaxexport": sampler_program, "onnx": onnx_sampler}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvertArgs:
    """Converts networks to a .safetensors file, an official pickle or a sampler.

    A .pkl holds (G, D, Gs) as files of NVlabs/stylegan do, or Gs alone if the source
    has no discriminator. The loader of NVlabs/stylegan also needs the source text of
    the networks, which is not ours to give: pass --module-src. This package and other
    readers of weights do without.

    A .jaxexport holds no networks but a program that draws with one, on CPUs, GPUs and
    TPUs, where jax and flatbuffers are installed and this package is not. An .onnx is
    the same for onnxruntime, also that in browsers.
    """

    # A run directory, one checkpoint in it, a .safetensors, an official .pkl, a PyTorch
    # checkpoint, or the name of a public network, which is fetched.
    source: Annotated[
        str | None, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")
    ] = None
    # The file to write; its suffix, .safetensors, .pkl, .jaxexport or .onnx, says
    # the format.
    destination: Annotated[
        Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="DESTINATION")
    ] = None
    # Your own download of the public network SOURCE, where it cannot be fetched.
    from_file: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    list: bool = False  # show the public networks and leave
    # Of the numbers in a .safetensors or .jaxexport, bfloat16 halves the file; the
    # latter also computes in it.
    dtype: DType = "float32"
    # auto: by the suffix.
    format: Format | Literal["auto"] = "auto"
    # ema: the moving average, and in a .pkl all networks; raw: the generator under
    # training, alone.
    which: Literal["ema", "raw"] = "ema"
    # training/networks_stylegan.py (for ProGAN networks_progan.py) of your checkout
    # of NVlabs/stylegan, to be embedded in a .pkl; the official loader executes it.
    module_src: Path | None = None
    discriminator: bool = False  # also keep it in a .safetensors, if there is one
    overwrite: bool = False  # replace the destination if it exists


@cli.entry
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = cli.parse(ConvertArgs, argv, prog="python -m stylegan_jax.convert")
    if args.list:
        print(registry.describe())
        return
    if args.source is None or args.destination is None:
        raise UserError("SOURCE and DESTINATION are missing; --help explains them")
    if args.from_file is not None:
        registry.fetch(args.source, from_file=args.from_file)
    convert(args, args.source, args.destination)


def convert(args: ConvertArgs, source: str, destination: Path) -> None:
    """Writes the networks of `source` to `destination` and prints a summary."""
    kind = _format(args, destination)
    _check(args, destination, kind)
    file, text = args.module_src, ""
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise UserError(f"--module-src {file} is not a text file") from None
    bundle = _chosen(loading.load_bundle(source), source, args, kind)
    deviation = write(destination, bundle, kind, dtype=args.dtype, module_src=text)
    print(f"{source} -> {destination}, {destination.stat().st_size / 1e6:.1f} MB")
    read_back = f"numbers differ by at most {deviation:.2g} of their size"
    if kind in _SAMPLERS:
        read_back = f"images differ by at most {deviation:.2g}, of -1 to 1"
    elif args.dtype == "float32":
        read_back = "bit-identical to the source"
    lines = [*describe(bundle.generator), _holds(bundle, args, kind)]
    lines.append(f"read back: {read_back}")
    if bundle.licence:
        lines.append(f"licence: {bundle.licence}")
    print("\n".join(f"  {line}" for line in lines))
    if kind in _SAMPLERS:
        needs = "onnxruntime" if kind == "onnx" else "jax and flatbuffers"
        print(f"It needs {needs}, and is used like this:\n")
        print(_SAMPLERS[kind].usage(destination, bundle.generator))


def _format(args: ConvertArgs, destination: Path) -> Format:
    if args.format != "auto":
        return args.format
    for name in _FORMATS:
        if destination.suffix.lower() == f".{name}":
            return name
    endings = ", ".join(f".{name}" for name in _FORMATS)
    raise UserError(
        f"{destination} ends in none of {endings}; rename it or give --format"
    )


def describe(generator: Generator) -> list[str]:
    """A few lines on a generator."""
    config = generator.config
    family = "StyleGAN" if generator.w_avg is not None else "ProGAN"
    family = "multi-layer perceptron as" if config.mlp_layers else family
    count = sum(leaf.size for leaf in jax.tree.leaves(generator.params))
    size = f"{generator.resolution} px"
    if generator.resolution != config.resolution:
        size += f" of {config.resolution} px"
    if generator.alpha is not None:
        size += f", faded in to {float(generator.alpha):.0%}"
    classes = f", {config.label_size} classes" if config.label_size else ""
    return [
        f"{family} generator, {size}, {config.num_channels} channels{classes}",
        f"{count:,} parameters, z of {config.z_dim}",
    ]


def _holds(bundle: Bundle, args: ConvertArgs, kind: Format) -> str:
    if kind == "jaxexport":
        platforms = ", ".join(sampler_program.PLATFORMS)
        return f"holds a program for {platforms}, in {args.dtype}"
    if kind == "onnx":
        return "holds a graph of ONNX, in float32"
    if kind == "safetensors":
        kept = "with" if bundle.discriminator else "without"
        return f"holds the generator, {kept} a discriminator, in {args.dtype}"
    text = "holds G, D, Gs"
    if bundle.discriminator is None:
        text = "holds Gs alone, not the usual (G, D, Gs): no discriminator was given"
    elif bundle.raw is None:
        text += "; G is Gs again, as the source has one generator"
    if args.module_src is None:
        text += (
            "\n  without the source text of the networks, which the loader of "
            "NVlabs/stylegan needs: see --module-src"
        )
    return text


def _check(args: ConvertArgs, destination: Path, kind: Format) -> None:
    if destination.is_dir():
        raise UserError(f"{destination} is a folder; give the name of a file")
    if destination.exists():
        inputs = outputs.files_named_in(dataclasses.replace(args, destination=None))
        if any(destination.samefile(other) for other in inputs):
            raise UserError(f"{destination} is the source; give another name")
        if not args.overwrite:
            raise UserError(f"{destination} exists; --overwrite replaces it")
    if kind in ("pkl", "onnx") and args.dtype != "float32":
        these = "official pickles" if kind == "pkl" else ".onnx files"
        raise UserError(
            f"--dtype {args.dtype}: {these} are float32; leave it out or write a "
            ".safetensors"
        )
    if kind != "pkl" and args.module_src is not None:
        raise UserError(
            f"--module-src goes with a .pkl; a .{kind} holds no source text"
        )
    if kind in _SAMPLERS and args.discriminator:
        raise UserError("--discriminator goes with a .safetensors; a sampler has none")


def _chosen(bundle: Bundle, source: str, args: ConvertArgs, kind: Format) -> Bundle:
    if args.which == "raw":
        if bundle.raw is None:
            raise UserError(
                f"--which raw: {source} has one generator; leave --which out"
            )
        bundle = dataclasses.replace(bundle, generator=bundle.raw, raw=None)
        if kind == "pkl":
            return dataclasses.replace(bundle, discriminator=None)
    if kind == "pkl":
        return bundle
    kept = bundle.discriminator if args.discriminator else None
    if args.discriminator and kept is None:
        raise UserError(
            f"--discriminator: {source} has none; leave --discriminator out"
        )
    return dataclasses.replace(bundle, raw=None, discriminator=kept)
