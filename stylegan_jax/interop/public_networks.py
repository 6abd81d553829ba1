"""Table of NVIDIA's public networks; no sizes or checksums are published.

Source of file names and addresses: `README.md` and `pretrained_example.py` of
NVlabs/stylegan; `pretrained_networks.py` of NVlabs/stylegan2, with Google Drive's from
its history; `README.md` of tkarras/progressive_growing_of_gans.
"""

import dataclasses


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
