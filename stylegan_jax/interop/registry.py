"""Registry of public networks and their pickles on this machine.

Without a published checksum, the digest of the first verified download is recorded
beside the file and enforced from then on (trust on first use).
"""

import logging
import os
import shutil
from pathlib import Path

from stylegan_jax.errors import UserError, did_you_mean
from stylegan_jax.interop.public_networks import NETWORKS, PublicNetwork
from stylegan_jax.interop.unpickle import MAX_FILE_BYTES, read_networks
from stylegan_jax.io import cache
from stylegan_jax.io import fetch as fetching

_log = logging.getLogger(__name__)


def describe() -> str:
    """Table of the public networks: names, contents, which are cached."""
    folder = cache.folder("networks")
    width = max(map(len, NETWORKS))
    texts = max(len(network.content) for network in NETWORKS.values())
    lines = [
        f"  {name:<{width}}  {network.resolution:>4} px  {network.content:<{texts}}  "
        f"{network.licence.name}{', here' * (folder / network.file_name).exists()}"
        for name, network in NETWORKS.items()
    ]
    licences = dict.fromkeys(network.licence for network in NETWORKS.values())
    notices = [licence.notice for licence in licences]
    return "\n".join([f"public networks, kept in {folder}:", *lines, *notices])


def fetch(name: str, *, from_file: str | os.PathLike[str] | None = None) -> Path:
    """Cached pickle of a public network; downloaded, or copied from `from_file`.

    A new file must hold a network of the right kind and resolution; its licence is
    logged. See `io.fetch`.

    Raises:
        UserError: unknown name, failed download, another file, or unwritable cache.
    """
    if name not in NETWORKS:
        hint = did_you_mean(name, NETWORKS) or f"known: {', '.join(NETWORKS)}"
        raise UserError(f"{name!r} is no public network; {hint}")
    network = NETWORKS[name]
    path = cache.folder("networks") / network.file_name
    if from_file is not None:
        with cache.exclusive(path):
            cache.record(path, _copied(network, Path(from_file), path))
        _log.warning("%s", network.licence.notice)
        return path
    return fetching.fetch(
        path,
        network.urls,
        content=name,
        max_bytes=MAX_FILE_BYTES,
        notice=network.licence.notice,
        check=lambda path: _check(network, path),
        by_hand=f"once you have the file by other means, put it at {path} or run "
        f"python -m stylegan_jax.convert {name} DESTINATION `from_file` FILE",
    )


def _check(network: PublicNetwork, path: Path) -> None:
    wrong = f"{path} is not {network.file_name}, or damaged:"
    generator = read_networks(path).get("Gs")
    if generator is None:
        raise UserError(f"{wrong} it has no generator Gs")
    found = generator.build_func_name, generator.static_kwargs.get("resolution")
    if found != (network.builder, network.resolution):
        raise UserError(
            f"{wrong} its generator is {found[0]!r:.40} at {found[1]!r:.40} px, not "
            f"{network.builder!r} at {network.resolution} px"
        )


def _copied(network: PublicNetwork, source: Path, path: Path) -> str:
    if not source.is_file():
        raise UserError(f"`from_file` {source}: there is no such file")
    _check(network, source)
    digest = cache.sha256(source)
    temporary = path.with_name(f"{path.name}.copy")
    try:
        shutil.copyfile(source, temporary)
        if cache.sha256(temporary) != digest:
            raise UserError(f"{source} changed while it was copied; try again")
        cache.forget(path)  # what is known of an older file
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)
    return digest
