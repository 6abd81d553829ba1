"""Converts networks: `python -m stylegan_jax.convert SOURCE DESTINATION`.

    python -m stylegan_jax.convert runs/portraits portraits.safetensors
    python -m stylegan_jax.convert karras2019stylegan-ffhq-1024x1024.pkl \
        ffhq.safetensors --dtype bfloat16
    python -m stylegan_jax.convert runs/portraits portraits.pkl \
        --module-src stylegan/training/networks_stylegan.py
    python -m stylegan_jax.convert runs/portraits sampler.jaxexport

What was written is read back and compared with the source, number by number; of a
sampler (`.jaxexport`) the images are.
"""

import dataclasses
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from stylegan_jax import loading
from stylegan_jax.commands import cli
from stylegan_jax.errors import UserError
from stylegan_jax.interop import exported, official_writer, registry, sampler_program
from stylegan_jax.interop.bundle import Bundle, generator_arrays
from stylegan_jax.interop.comparison import compare
from stylegan_jax.io import outputs
from stylegan_jax.networks.generator import Generator

Format = Literal["safetensors", "pkl", "jaxexport"]

_SUFFIXES: dict[str, Format] = {
    f".{name}": name for name in ("safetensors", "pkl", "jaxexport")
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvertArgs:
    """Converts networks to a .safetensors file, an official pickle or a sampler.

    A .pkl holds (G, D, Gs) as files of NVlabs/stylegan do, or Gs alone if the source
    has no discriminator. The loader of NVlabs/stylegan also needs the source text of
    the networks, which is not ours to give: pass --module-src. This package and other
    readers of weights do without.

    A .jaxexport holds no networks but a program that draws with one, on CPUs, GPUs and
    TPUs, where jax and flatbuffers are installed and this package is not.
    """

    # A run directory, one checkpoint in it, a .safetensors, an official .pkl, a PyTorch
    # checkpoint, or the name of a public network, which is fetched.
    source: Annotated[
        str | None, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")
    ] = None
    # The file to write; its suffix, .safetensors, .pkl or .jaxexport, says the format.
    destination: Annotated[
        Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="DESTINATION")
    ] = None
    # Your own download of the public network SOURCE, where it cannot be fetched.
    from_file: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    list: bool = False  # show the public networks and leave
    # Of the numbers in a .safetensors or .jaxexport, bfloat16 halves the file; the
    # latter also computes in it.
    dtype: Literal["float32", "bfloat16"] = "float32"
    # auto: by the suffix.
    format: Literal["auto", "safetensors", "pkl", "jaxexport"] = "auto"
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
    """Writes the networks of `source` to `destination` and checks what was written."""
    file_format = _checked_format(args, source, destination)
    module_src = "" if args.module_src is None else _read_text(args.module_src)
    bundle = _chosen(loading.load_bundle(source), source, args, file_format)

    lines = describe(bundle.generator)
    final, token = destination, secrets.token_hex(8)
    destination = final.with_name(f".{token}{final.suffix}")
    try:
        lines += _written(args, destination, bundle, file_format, module_src)
        destination.replace(final)
    finally:
        destination.unlink(missing_ok=True)
    size = final.stat().st_size
    print(f"{source} -> {final}, {size / 1e6:.1f} MB")
    print("\n".join(f"  {line}" for line in lines))
    if bundle.licence:
        print(f"  licence: {bundle.licence}")
    if file_format == "jaxexport":
        print("It needs jax and flatbuffers, and is used like this:\n")
        print(sampler_program.usage(final, bundle.generator))


def _written(
    args: ConvertArgs,
    destination: Path,
    bundle: Bundle,
    file_format: Format,
    module_src: str,
) -> list[str]:
    """Writes networks and reads them back: what to say; raises UserError."""
    lines: list[str] = []
    if file_format == "pkl":
        names = official_writer.save_pickle(destination, bundle, module_src=module_src)
        lines += _about_pickle(names, bundle, module_src)
    elif file_format == "jaxexport":
        sampler_program.save(destination, bundle.generator, dtype=args.dtype)
        platforms = ", ".join(sampler_program.PLATFORMS)
        lines.append(f"holds a program for {platforms}, in {args.dtype}")
    else:
        exported.save(
            destination,
            bundle.generator,
            dtype=args.dtype,
            discriminator=bundle.discriminator,
            source=bundle.source,
            licence=bundle.licence,
        )
        kept = "with" if bundle.discriminator else "without"
        lines.append(f"holds the generator, {kept} a discriminator, in {args.dtype}")
    lines.append(_read_back(destination, bundle, args.dtype, file_format))
    return lines


def describe(generator: Generator) -> list[str]:
    """What a generator is, in a few lines."""
    config = generator.config
    family = "StyleGAN" if generator.w_avg is not None else "ProGAN"
    family = "multi-layer perceptron as" if config.mlp_layers else family
    arrays = generator_arrays(generator)
    count = sum(
        array.size
        for path, array in arrays.items()
        if path.startswith(("mapping/", "synthesis/"))
    )
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


def _read_back(
    destination: Path,
    bundle: Bundle,
    dtype: Literal["float32", "bfloat16"],
    file_format: Format,
) -> str:
    """Compares what was written with its source: what to say; raises UserError."""
    if file_format == "jaxexport":
        deviation = sampler_program.check(destination, bundle.generator, dtype=dtype)
        return f"read back: images differ by at most {deviation:.2g}, of -1 to 1"
    deviation = compare(bundle, loading.load_bundle(destination), dtype)
    if dtype == "float32":
        return "read back: bit-identical to the source"
    return f"read back: numbers differ by at most {deviation:.2g} of their size"


def _checked_format(args: ConvertArgs, source: str, destination: Path) -> Format:
    """The format to write; raises UserError for flags that do not go together."""
    file_format = args.format
    if file_format == "auto":
        suffix = destination.suffix.lower()
        if suffix not in _SUFFIXES:
            raise UserError(
                f"{destination} ends in none of {', '.join(_SUFFIXES)}; "
                "rename it or give --format"
            )
        file_format = _SUFFIXES[suffix]
    if destination.is_dir():
        raise UserError(f"{destination} is a folder; give the name of a file")
    if destination.exists():
        for other in outputs.files_named_in(
            dataclasses.replace(args, destination=None)
        ):
            if destination.samefile(other):
                raise UserError(f"{destination} is the source; give another name")
        if not args.overwrite:
            raise UserError(f"{destination} exists; --overwrite replaces it")
    if file_format == "pkl" and args.dtype != "float32":
        raise UserError(
            f"--dtype {args.dtype}: official pickles are float32; leave it out or "
            "write a .safetensors"
        )
    if file_format != "pkl" and args.module_src is not None:
        raise UserError(
            f"--module-src goes with a .pkl; a .{file_format} holds no source text"
        )
    if file_format == "jaxexport" and args.discriminator:
        raise UserError("--discriminator goes with a .safetensors; a sampler has none")
    return file_format


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"--module-src {path} is not a text file") from None


def _chosen(
    bundle: Bundle, source: str, args: ConvertArgs, file_format: Format
) -> Bundle:
    """The networks that are to be written."""
    if args.which == "raw":
        if bundle.raw is None:
            raise UserError(
                f"--which raw: {source} has one generator; leave --which out"
            )
        generator = bundle.raw
        bundle = dataclasses.replace(bundle, generator=generator, raw=None)
        if file_format == "pkl":
            return dataclasses.replace(bundle, discriminator=None)
    if file_format != "pkl":
        kept = bundle.discriminator if args.discriminator else None
        if args.discriminator and kept is None:
            raise UserError(
                f"--discriminator: {source} has none; leave --discriminator out"
            )
        return dataclasses.replace(bundle, raw=None, discriminator=kept)
    return bundle


def _about_pickle(names: tuple[str, ...], bundle: Bundle, module_src: str) -> list[str]:
    lines = [f"holds {', '.join(names)}"]
    if "D" not in names:
        lines[0] += " alone, not the usual (G, D, Gs): no discriminator was given"
    elif bundle.raw is None:
        lines[0] += "; G is Gs again, as the source has one generator"
    if not module_src:
        lines.append(
            "without the source text of the networks, which the loader of "
            "NVlabs/stylegan needs: see --module-src"
        )
    return lines
