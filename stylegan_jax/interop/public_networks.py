"""The public networks: a table of what NVIDIA publishes, and where.

It publishes neither sizes nor checksums of these files, so there are none here.

Source of file names and addresses: `README.md` and `pretrained_example.py` of
NVlabs/stylegan; `pretrained_networks.py` of NVlabs/stylegan2, with Google Drive's from
its history; `README.md` of tkarras/progressive_growing_of_gans.
"""

import dataclasses


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
