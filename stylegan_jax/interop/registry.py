"""Registry of NVIDIA's public networks and their pickles on this machine.

No sizes or checksums are published: the digest of the first verified download is
recorded beside the file and enforced from then on (trust on first use).

Source of file names and addresses: `README.md` and `pretrained_example.py` of
NVlabs/stylegan; `pretrained_networks.py` of NVlabs/stylegan2, with Google Drive's from
its history; `README.md` of tkarras/progressive_growing_of_gans.
"""

import dataclasses
import logging
import os
import shutil
from pathlib import Path

from stylegan_jax.errors import UserError, did_you_mean
from stylegan_jax.interop.unpickle import MAX_FILE_BYTES, read_networks
from stylegan_jax.io import cache
from stylegan_jax.io import fetch as fetching

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Licence:
    """Terms of the weights."""

    name: str
    url: str

    @property
    def notice(self) -> str:
        """One line for users."""
        return f"NVIDIA's weights: {self.name}, non-commercial; {self.url}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublicNetwork:
    """A downloadable pickle `(G, D, Gs)`.

    `urls` are in the order to try, `builder` is the official function of the generator.
    """

    content: str
    file_name: str
    urls: tuple[str, ...]
    resolution: int
    licence: Licence
    builder: str = "G_style"


CC_BY_NC = Licence("CC BY-NC 4.0", "https://creativecommons.org/licenses/by-nc/4.0/")
NVIDIA_NC = Licence(
    "NVIDIA Source Code License-NC", "https://nvlabs.github.io/stylegan2/license.html"
)
_DRIVE = "https://drive.google.com/uc?id="
_CDN = "https://nvlabs-fi-cdn.nvidia.com/stylegan2/networks/"

# Our name, official name, Google Drive identifier, content.
_STYLEGAN = """
ffhq     ffhq-1024x1024      1MEGjdvVpUsu1jB4zrXZN7Y4kBBOzizDQ  faces (FFHQ)
celebahq celebahq-1024x1024  1MGqJl28pN4t7SAtSrPdSRJSQJqahkzUf  faces (CelebA-HQ)
bedroom  bedrooms-256x256    1MOSKeGF0FJcivpBI7s63V9YHloUTORiF  bedrooms (LSUN)
car      cars-512x384        1MJ6iCfNtMIRicihwRorsM3b7mmtmK9c3  cars (LSUN)
cat      cats-256x256        1MQywl0FNt6lHu8E_EUqnRbviagS7fbiJ  cats (LSUN)
"""
# StyleGAN retrained by NVIDIA, the baseline in StyleGAN2's paper.
_CONFIG_A = """
ffhq     1024  1MR3Ogs9XQlupSF_al-nGIAh797Cp5nKA  faces (FFHQ)
car      512   1MhZpQAqgxKTz22u_urk0HSXA-BOLMCLV  cars (LSUN)
cat      256   1MvGHMNicQjhOdGs94Zs7fw6D9F7ikJeO  cats (LSUN)
church   256   1N2g_buEUxCkbb7Bfpjbj0TDeKf1Vrzdx  churches (LSUN)
horse    256   1N4lnXL3ezv1aeQVoGY6KBen185MTvWOu  horses (LSUN)
"""


def _rows(table: str) -> list[list[str]]:
    return [line.split(maxsplit=3) for line in table.strip().splitlines()]


NETWORKS = {
    name: PublicNetwork(
        content=content,
        file_name=f"karras2019stylegan-{official}.pkl",
        urls=(_DRIVE + drive,),
        resolution=int(official.rpartition("-")[2].partition("x")[0]),
        licence=CC_BY_NC,
    )
    for name, official, drive, content in _rows(_STYLEGAN)
}
NETWORKS["progan-celebahq"] = PublicNetwork(
    content="faces (CelebA-HQ), by ProGAN",
    file_name="karras2018iclr-celebahq-1024x1024.pkl",
    urls=(_DRIVE + "188K19ucknC6wg1R6jbuPEhTq9zoufOx4",),
    resolution=1024,
    licence=CC_BY_NC,
    builder="G_paper",
)
for _name, _size, _drive, _content in _rows(_CONFIG_A):
    _file = f"stylegan2-{_name}-config-a.pkl"
    NETWORKS[f"{_name}-config-a"] = PublicNetwork(
        content=_content,
        file_name=_file,
        urls=(_CDN + _file, _DRIVE + _drive),
        resolution=int(_size),
        licence=NVIDIA_NC,
    )


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
    logged. See `io.fetch`. Raises UserError for an unknown name, a failed download,
    another file, or an unwritable cache.
    """
    if name not in NETWORKS:
        hint = did_you_mean(name, NETWORKS) or f"known: {', '.join(NETWORKS)}"
        raise UserError(f"{name!r} is no public network; {hint}")
    network = NETWORKS[name]
    path = cache.folder("networks") / network.file_name
    if from_file is not None:
        with cache.exclusive(path):
            _copy(network, Path(from_file), path)
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


def _copy(network: PublicNetwork, source: Path, path: Path) -> None:
    if not source.is_file():
        raise UserError(f"`from_file` {source}: there is no such file")
    _check(network, source)
    temporary = path.with_name(f"{path.name}.copy")
    try:
        shutil.copyfile(source, temporary)
        digest = cache.sha256(temporary)
        cache.forget(path)  # what is known of an older file
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)
    cache.record(path, digest)
