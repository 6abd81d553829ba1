"""The public networks by name, fetched on first use.

The table says what NVIDIA publishes. It publishes neither sizes nor checksums of
these files, so there are none here: what a file held when it was first fetched and
read is recorded beside it and holds from then on (trust on first use).

Source of file names and addresses: `README.md` and `pretrained_example.py` of
NVlabs/stylegan; `pretrained_networks.py` of NVlabs/stylegan2, with Google Drive's from
its history; `README.md` of tkarras/progressive_growing_of_gans.
"""

import dataclasses
import difflib
import os
import shutil
from pathlib import Path

from stylegan_jax.common import cache
from stylegan_jax.common.download import download
from stylegan_jax.common.errors import UserError
from stylegan_jax.common.transfer_display import note
from stylegan_jax.common.web import UnavailableError
from stylegan_jax.interop.unpickle import MAX_FILE_BYTES, read_networks


@dataclasses.dataclass(frozen=True)
class Licence:
    """What the weights may be used for."""

    name: str
    url: str

    @property
    def notice(self) -> str:
        """The line that people see."""
        return f"NVIDIA's weights: {self.name}, non-commercial; {self.url}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublicNetwork:
    """A pickle `(G, D, Gs)` that anybody may fetch.

    Attributes:
        content: what it draws, for people.
        file_name: its name in the cache, which is its official one.
        urls: where it is, in the order to try.
        resolution: in pixels.
        licence: of the weights.
        builder: the official function that builds the generator.
        size: in bytes, None if it is not published.
        sha256: in hexadecimal, None if it is not published.
    """

    content: str
    file_name: str
    urls: tuple[str, ...]
    resolution: int
    licence: Licence
    builder: str = "G_style"
    size: int | None = None
    sha256: str | None = None


CC_BY_NC = Licence("CC BY-NC 4.0", "https://creativecommons.org/licenses/by-nc/4.0/")
NVIDIA_NC = Licence(
    "NVIDIA Source Code License-NC", "https://nvlabs.github.io/stylegan2/license.html"
)
_DRIVE = "https://drive.google.com/uc?id="
_CDN = "https://nvlabs-fi-cdn.nvidia.com/stylegan2/networks/"


def _stylegan(
    content: str, file: str, resolution: int, file_id: str, builder: str = "G_style"
) -> PublicNetwork:
    return PublicNetwork(
        content=content,
        file_name=f"{file}.pkl",
        urls=(_DRIVE + file_id,),
        resolution=resolution,
        licence=CC_BY_NC,
        builder=builder,
    )


def _config_a(
    content: str, dataset: str, resolution: int, file_id: str
) -> PublicNetwork:
    """StyleGAN as NVIDIA trained it anew, the baseline in StyleGAN2's paper."""
    file_name = f"stylegan2-{dataset}-config-a.pkl"
    return PublicNetwork(
        content=content,
        file_name=file_name,
        urls=(_CDN + file_name, _DRIVE + file_id),
        resolution=resolution,
        licence=NVIDIA_NC,
    )


NETWORKS = {
    "ffhq": _stylegan(
        "faces (FFHQ)",
        "karras2019stylegan-ffhq-1024x1024",
        1024,
        "1MEGjdvVpUsu1jB4zrXZN7Y4kBBOzizDQ",
    ),
    "celebahq": _stylegan(
        "faces (CelebA-HQ)",
        "karras2019stylegan-celebahq-1024x1024",
        1024,
        "1MGqJl28pN4t7SAtSrPdSRJSQJqahkzUf",
    ),
    "bedroom": _stylegan(
        "bedrooms (LSUN)",
        "karras2019stylegan-bedrooms-256x256",
        256,
        "1MOSKeGF0FJcivpBI7s63V9YHloUTORiF",
    ),
    "car": _stylegan(  # 512x384, in the middle of 512x512
        "cars (LSUN)",
        "karras2019stylegan-cars-512x384",
        512,
        "1MJ6iCfNtMIRicihwRorsM3b7mmtmK9c3",
    ),
    "cat": _stylegan(
        "cats (LSUN)",
        "karras2019stylegan-cats-256x256",
        256,
        "1MQywl0FNt6lHu8E_EUqnRbviagS7fbiJ",
    ),
    "progan-celebahq": _stylegan(
        "faces (CelebA-HQ), by ProGAN",
        "karras2018iclr-celebahq-1024x1024",
        1024,
        "188K19ucknC6wg1R6jbuPEhTq9zoufOx4",
        builder="G_paper",
    ),
    "ffhq-config-a": _config_a(
        "faces (FFHQ)", "ffhq", 1024, "1MR3Ogs9XQlupSF_al-nGIAh797Cp5nKA"
    ),
    "car-config-a": _config_a(
        "cars (LSUN)", "car", 512, "1MhZpQAqgxKTz22u_urk0HSXA-BOLMCLV"
    ),
    "cat-config-a": _config_a(
        "cats (LSUN)", "cat", 256, "1MvGHMNicQjhOdGs94Zs7fw6D9F7ikJeO"
    ),
    "church-config-a": _config_a(
        "churches (LSUN)", "church", 256, "1N2g_buEUxCkbb7Bfpjbj0TDeKf1Vrzdx"
    ),
    "horse-config-a": _config_a(
        "horses (LSUN)", "horse", 256, "1N4lnXL3ezv1aeQVoGY6KBen185MTvWOu"
    ),
}


def is_known(name: str) -> bool:
    """Whether this is the name of a public network."""
    return name in NETWORKS


def close_matches(name: str) -> list[str]:
    """Names of public networks that look like a misspelt one, the best first."""
    return difflib.get_close_matches(name.lower(), NETWORKS)


def describe() -> str:
    """The public networks, for people: names, what they draw, which are here."""
    folder = cache.cache_folder("networks")
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
    same, so that a file that decays is noticed. That takes a third of a second for
    the largest; times and sizes alone would not show it.

    Args:
        name: a key of `NETWORKS`.
        from_file: your own download of it, to be copied into the cache instead.

    Returns:
        The path in the cache (`cache.cache_folder`).

    Raises:
        UserError: no such name; the network cannot be had, or the file is not it; it
            changed since; the cache cannot be written to.
    """
    if name not in NETWORKS:
        close = " or ".join(close_matches(name))
        raise UserError(
            f"{name!r} is no public network; "
            + (f"did you mean {close}?" if close else f"known: {', '.join(NETWORKS)}")
        )
    network = NETWORKS[name]
    path = cache.cache_folder("networks") / network.file_name
    if from_file is None and _is_unchanged(path):
        return path  # without a lock: a cache for reading only will do
    with cache.exclusive(
        path, on_wait=lambda: note(f"waiting for another process to fetch {name}")
    ):
        if from_file is not None:
            _copy(network, Path(from_file), path)
        elif not path.exists():
            _download(name, network, path)
        if not _is_unchanged(path):  # not checked yet, or put there by hand
            cache.record(path, _checked(network, path))
            note(network.licence.notice)
    return path


def _is_unchanged(path: Path) -> bool:
    """Whether the file is here and checked; raises if it is not what it was."""
    known = cache.recorded(path)
    if known is None or not path.exists():
        return False
    digest = cache.sha256(path)
    if digest != known:
        raise UserError(
            f"{path} changed since it was first read (SHA-256 {digest}, then {known}): "
            "remove it to have it fetched again"
        )
    return True


def _checked(network: PublicNetwork, path: Path) -> str:
    """Checks that a file is the network, as far as can be told; returns its SHA-256."""
    digest = cache.sha256(path)
    if network.sha256 not in (None, digest):
        raise UserError(
            f"{path} is not {network.file_name} or is damaged: its SHA-256 is {digest}, "
            f"the right one's {network.sha256}"
        )
    generator = read_networks(path).get("Gs")
    if generator is None:
        raise UserError(f"{path} is not {network.file_name}: it has no generator Gs")
    builder = generator.build_func_name
    resolution = generator.static_kwargs.get("resolution")
    if (builder, resolution) != (network.builder, network.resolution):
        raise UserError(
            f"{path} is not {network.file_name}: its generator is {builder!r:.40} of "
            f"{resolution!r:.40} px, the right one's {network.builder!r} of "
            f"{network.resolution} px"
        )
    return digest


def _download(name: str, network: PublicNetwork, path: Path) -> None:
    """Downloads the file from the first of its places that gives it."""
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
            f"by other means, pass it with --from FILE or put it at {path}"
        )
    try:
        _checked(network, path)
    except UserError as error:
        path.unlink()
        raise UserError(f"{error}; removed, fetch it again") from error


def _copy(network: PublicNetwork, source: Path, path: Path) -> None:
    """Copies the user's file into the cache once it is known to be the network."""
    if not source.is_file():
        raise UserError(f"--from {source}: there is no such file")
    digest = _checked(network, source)
    cache.forget(path)
    if path.exists() and path.samefile(source):
        return
    temporary = path.with_name(f"{path.name}.copy")
    try:
        shutil.copyfile(source, temporary)
        if cache.sha256(temporary) != digest:
            raise UserError(f"{source} changed while it was copied; try again")
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)
