"""Public networks by name: which there are, and their pickles on this machine.

Where no checksum is published, what a file held when it was first fetched and read
is recorded beside it and holds from then on (trust on first use).
"""

import os
import shutil
from pathlib import Path

from stylegan_jax.errors import UserError, did_you_mean
from stylegan_jax.interop.public_networks import NETWORKS, PublicNetwork
from stylegan_jax.interop.unpickle import MAX_FILE_BYTES, read_networks
from stylegan_jax.io import file_cache
from stylegan_jax.io.download import download
from stylegan_jax.io.transfer_display import note
from stylegan_jax.io.web import UnavailableError


def describe() -> str:
    """The public networks, for people: names, what they draw, which are here."""
    folder = file_cache.cache_folder("networks")
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
    """The pickle of a public network, downloaded if it is not here yet.

    The first time, the file is read and must hold a network of the right kind and
    resolution; its licence is printed then. Each later time its SHA-256 must be the
    same, so that a file that decays is noticed: size and time alone would not show
    it, and a hash takes 0.3 to 0.6 s for the largest.

    Args:
        name: a key of `NETWORKS`.
        from_file: your own download of it, to be copied into the cache instead.

    Returns:
        The path in the cache, `file_cache.cache_folder("networks")`.

    Raises:
        UserError: no such name; the network cannot be had, or the file is not it; it
            changed since; the cache cannot be written to.
    """
    if name not in NETWORKS:
        hint = did_you_mean(name, NETWORKS) or f"known: {', '.join(NETWORKS)}"
        raise UserError(f"{name!r} is no public network; {hint}")
    network = NETWORKS[name]
    path = file_cache.cache_folder("networks") / network.file_name
    if from_file is None and _is_unchanged(path):
        return path  # without a lock: a cache for reading only will do
    with file_cache.exclusive(
        path, on_wait=lambda: note(f"waiting for another process to fetch {name}")
    ):
        if from_file is not None:
            digest = _copied(network, Path(from_file), path)
        elif _is_unchanged(path):  # by now
            return path
        elif path.exists():  # put there by hand
            digest = _checked(network, path)
        else:
            digest = _downloaded(name, network, path)
        file_cache.record(path, digest)
        note(network.licence.notice)
    return path


def _is_unchanged(path: Path) -> bool:
    """Whether the file is here and was checked; raises if it is not what it was."""
    known = file_cache.recorded(path)
    if known is None or not path.exists():
        return False
    digest = file_cache.sha256(path)
    if digest != known:
        raise UserError(
            f"{path} changed since it was first read (SHA-256 {digest}, then {known}): "
            "remove it to have it fetched again"
        )
    return True


def _checked(network: PublicNetwork, path: Path) -> str:
    """Checks that a file is the network, as far as can be told; returns its SHA-256."""
    wrong = f"{path} is not {network.file_name}, or damaged:"
    digest = file_cache.sha256(path)
    if network.sha256 not in (None, digest):
        raise UserError(f"{wrong} its SHA-256 is {digest}, not {network.sha256}")
    generator = read_networks(path).get("Gs")
    if generator is None:
        raise UserError(f"{wrong} it has no generator Gs")
    found = generator.build_func_name, generator.static_kwargs.get("resolution")
    if found != (network.builder, network.resolution):
        raise UserError(
            f"{wrong} its generator is {found[0]!r:.40} at {found[1]!r:.40} px, not "
            f"{network.builder!r} at {network.resolution} px"
        )
    return digest


def _downloaded(name: str, network: PublicNetwork, path: Path) -> str:
    """Downloads and checks the file; tries its places in turn."""
    problems: list[str] = []
    for url in network.urls:
        try:
            download(
                url,
                path,
                max_bytes=MAX_FILE_BYTES,
                size=network.size,
                sha256=network.sha256,
            )
            break
        except UnavailableError as error:
            problems.append(str(error))
    else:
        raise UserError(
            f"{name} cannot be fetched: {'; '.join(problems)}; once you have the file "
            f"by other means, put it at {path} or run python -m "
            f"stylegan_jax.convert {name} DESTINATION `from_file` FILE"
        )
    try:
        return _checked(network, path)
    except UserError as error:
        path.unlink()
        raise UserError(f"{error}; removed, fetch it again") from error


def _copied(network: PublicNetwork, source: Path, path: Path) -> str:
    """Copies the user's file into the cache once it is known to be the network."""
    if not source.is_file():
        raise UserError(f"`from_file` {source}: there is no such file")
    digest = _checked(network, source)
    temporary = path.with_name(f"{path.name}.copy")
    try:
        shutil.copyfile(source, temporary)
        if file_cache.sha256(temporary) != digest:
            raise UserError(f"{source} changed while it was copied; try again")
        file_cache.forget(path)  # what is known of an older file
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)
    return digest
