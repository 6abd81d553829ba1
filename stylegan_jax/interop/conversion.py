"""Networks written in another format, read back and compared with their source."""

import secrets
from pathlib import Path
from typing import Literal

from stylegan_jax.interop import (
    exported,
    official_writer,
    sampler_program,
    stylegan_tf,
)
from stylegan_jax.interop.bundle import Bundle
from stylegan_jax.interop.comparison import compare

Format = Literal["safetensors", "pkl", "jaxexport"]
DType = Literal["float32", "bfloat16"]


def write(
    path: Path,
    bundle: Bundle,
    file_format: Format,
    *,
    dtype: DType = "float32",
    module_src: str = "",
) -> float:
    """Writes networks; the file appears when it has been read back and compared.

    Args:
        path: replaced if it exists.
        bundle: its networks; of a sampler (`jaxexport`) the generator alone is used.
        file_format: of this package, of NVlabs/stylegan, or a program that draws.
        dtype: of the numbers; official pickles are float32.
        module_src: the source text that goes into a pickle.

    Returns:
        The largest difference to the source, relative to a number's size; of a sampler,
        of two images, which are in [-1, 1].

    Raises:
        UserError: the networks cannot be written so, or are not what they were.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        if file_format == "jaxexport":
            sampler_program.save(temporary, bundle.generator, dtype=dtype)
            largest = sampler_program.check(temporary, bundle.generator, dtype=dtype)
        elif file_format == "pkl":
            official_writer.save_pickle(temporary, bundle, module_src=module_src)
            largest = compare(bundle, stylegan_tf.load_bundle(temporary), "float32")
        else:
            exported.save(
                temporary,
                bundle.generator,
                dtype=dtype,
                discriminator=bundle.discriminator,
                source=bundle.source,
                licence=bundle.licence,
            )
            largest = compare(bundle, exported.load_bundle(temporary), dtype)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return largest
