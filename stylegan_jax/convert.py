"""Converts networks: `python -m stylegan_jax.convert SOURCE DESTINATION`.

    python -m stylegan_jax.convert runs/portraits portraits.safetensors
    python -m stylegan_jax.convert karras2019stylegan-ffhq-1024x1024.pkl \
        ffhq.safetensors --dtype bfloat16
    python -m stylegan_jax.convert runs/portraits portraits.pkl \
        --module-src stylegan/training/networks_stylegan.py

What was written is read back and compared with the source, number by number.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from stylegan_jax import cli, loading
from stylegan_jax.common.errors import UserError
from stylegan_jax.interop import exported, official_writer
from stylegan_jax.interop.bundle import (
    Bundle,
    discriminator_arrays,
    generator_arrays,
)
from stylegan_jax.networks.generator import Generator

Format = Literal["safetensors", "pkl"]

_SUFFIXES: dict[str, Format] = {".safetensors": "safetensors", ".pkl": "pkl"}
# Rounding to bfloat16's 8 bits errs by half a unit in the last place, relatively; an
# official `lod` holds alpha to float32 at a size of up to 8.
_TOLERANCE = {"float32": 0.0, "bfloat16": 2.0**-8}
_ALPHA_TOLERANCE = 2.0**-20


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvertArgs:
    """Converts networks to a compact .safetensors file or to an official pickle.

    A .pkl holds (G, D, Gs) as files of NVlabs/stylegan do, or Gs alone if the source
    has no discriminator. The loader of NVlabs/stylegan also needs the source text of
    the networks, which is not ours to give: pass --module-src. This package and other
    readers of weights do without.
    """

    # A run directory, one checkpoint in it, a .safetensors or an official .pkl.
    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    # The file to write; its suffix, .safetensors or .pkl, says the format.
    destination: Annotated[
        Path, tyro.conf.Positional, tyro.conf.arg(metavar="DESTINATION")
    ]
    # Of the numbers in a .safetensors; bfloat16 halves the file.
    dtype: Literal["float32", "bfloat16"] = "float32"
    format: Literal["auto", "safetensors", "pkl"] = "auto"  # auto: by the suffix
    # ema: the moving average, and in a .pkl all networks; raw: the generator under
    # training, alone.
    which: Literal["ema", "raw"] = "ema"
    # training/networks_stylegan.py (for ProGAN networks_progan.py) of your checkout
    # of NVlabs/stylegan, to be embedded in a .pkl; the official loader executes it.
    module_src: Path | None = None
    discriminator: bool = False  # also keep it in a .safetensors, if there is one
    overwrite: bool = False  # replace the destination if it exists


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = cli.parse(ConvertArgs, argv, prog="python -m stylegan_jax.convert")
    file_format = _checked_format(args)
    module_src = "" if args.module_src is None else _read_text(args.module_src)
    bundle = _chosen(loading.load_bundle(args.source), args, file_format)

    lines = describe(bundle.generator)
    if file_format == "pkl":
        names = official_writer.save_pickle(
            args.destination, bundle, module_src=module_src
        )
        lines += _about_pickle(names, bundle, module_src)
    else:
        exported.save(
            args.destination,
            bundle.generator,
            dtype=args.dtype,
            discriminator=bundle.discriminator,
            source=bundle.source,
            licence=bundle.licence,
        )
        kept = "with" if bundle.discriminator else "without"
        lines.append(f"holds the generator, {kept} a discriminator, in {args.dtype}")
    try:
        deviation = compare(bundle, loading.load_bundle(args.destination), args.dtype)
    except UserError:
        args.destination.unlink()
        raise
    size = args.destination.stat().st_size
    print(f"{args.source} -> {args.destination}, {size / 1e6:.1f} MB")
    print("\n".join(f"  {line}" for line in lines))
    if args.dtype == "float32":
        print("  read back: bit-identical to the source")
    else:
        print(f"  read back: numbers differ by at most {deviation:.2g} of their size")
    if bundle.licence:
        print(f"  licence: {bundle.licence}")


def describe(generator: Generator) -> list[str]:
    """What a generator is, in a few lines."""
    config = generator.config
    family = "StyleGAN" if generator.w_avg is not None else "ProGAN"
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
        f"{count:,} parameters, {config.num_layers} layers, z of {config.z_dim}",
    ]


def compare(
    expected: Bundle, found: Bundle, dtype: Literal["float32", "bfloat16"]
) -> float:
    """Compares what was read back with what was to be written.

    Args:
        expected: what was to be written.
        found: what was read; networks that only it has are not compared.
        dtype: float32 asks for the same bits.

    Returns:
        The largest difference of two numbers, relative to their size.

    Raises:
        UserError: it is larger than rounding explains, or an array is not there.
    """
    pairs = [(expected.generator, found.generator)]
    if expected.raw is not None and found.raw is not None:
        pairs.append((expected.raw, found.raw))
    arrays = [(generator_arrays(a), generator_arrays(b)) for a, b in pairs]
    if expected.discriminator is not None:
        if found.discriminator is None:
            raise UserError("read back, the discriminator is missing")
        arrays.append(
            (
                discriminator_arrays(expected.discriminator),
                discriminator_arrays(found.discriminator),
            )
        )
    for ours, theirs in pairs:
        _compare_growth(ours, theirs)
    return max(_deviation(ours, theirs, dtype) for ours, theirs in arrays)


def _compare_growth(expected: Generator, found: Generator) -> None:
    alphas = [1.0 if g.alpha is None else float(g.alpha) for g in (expected, found)]
    if (
        expected.resolution != found.resolution
        or abs(alphas[0] - alphas[1]) > _ALPHA_TOLERANCE
    ):
        raise UserError(
            f"read back, the network is at {found.resolution} px, alpha {alphas[1]}, "
            f"not {expected.resolution} px, alpha {alphas[0]}"
        )


def _deviation(
    expected: dict[str, np.ndarray], found: dict[str, np.ndarray], dtype: str
) -> float:
    if expected.keys() != found.keys():
        odd = ", ".join(sorted(expected.keys() ^ found.keys())[:8])
        raise UserError(f"read back, these arrays are missing or new: {odd}")
    largest = 0.0
    for path, ours in expected.items():
        theirs = found[path]
        if ours.shape != theirs.shape:
            raise UserError(f"read back, {path} is {theirs.shape}, not {ours.shape}")
        if dtype == "float32":
            if ours.tobytes() != theirs.tobytes():
                raise UserError(f"read back, {path} has other numbers")
            continue
        scale = np.maximum(np.abs(ours), np.finfo(np.float32).tiny)
        worst = float(np.max(np.abs(ours - theirs) / scale, initial=0.0))
        if not worst <= _TOLERANCE[dtype]:
            raise UserError(f"read back, {path} differs by {worst:.2g} of its size")
        largest = max(largest, worst)
    return largest


def _checked_format(args: ConvertArgs) -> Format:
    """The format to write; raises UserError for flags that do not go together."""
    file_format = args.format
    if file_format == "auto":
        suffix = args.destination.suffix.lower()
        if suffix not in _SUFFIXES:
            raise UserError(
                f"{args.destination} ends in neither of {', '.join(_SUFFIXES)}; "
                "rename it or give --format"
            )
        file_format = _SUFFIXES[suffix]
    if args.destination.is_dir():
        raise UserError(f"{args.destination} is a folder; give the name of a file")
    if args.destination.exists():
        if args.source.exists() and args.destination.samefile(args.source):
            raise UserError(f"{args.destination} is the source; give another name")
        if not args.overwrite:
            raise UserError(f"{args.destination} exists; --overwrite replaces it")
    if file_format == "pkl" and args.dtype != "float32":
        raise UserError(
            f"--dtype {args.dtype}: official pickles are float32; leave it out or "
            "write a .safetensors"
        )
    if file_format == "safetensors" and args.module_src is not None:
        raise UserError("--module-src goes with a .pkl; a .safetensors holds no code")
    return file_format


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"--module-src {path} is not a text file") from None


def _chosen(bundle: Bundle, args: ConvertArgs, file_format: Format) -> Bundle:
    """The networks that are to be written."""
    if args.which == "raw":
        if bundle.raw is None:
            raise UserError(
                f"--which raw: {args.source} has one generator; leave --which out"
            )
        generator = bundle.raw
        bundle = dataclasses.replace(bundle, generator=generator, raw=None)
        if file_format == "pkl":
            return dataclasses.replace(bundle, discriminator=None)
    if file_format == "safetensors":
        kept = bundle.discriminator if args.discriminator else None
        if args.discriminator and kept is None:
            raise UserError(
                f"--discriminator: {args.source} has none; leave --discriminator out"
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


if __name__ == "__main__":
    cli.run_main(main)
