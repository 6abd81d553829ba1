"""Published weights: addresses, digests and licences.

Source of addresses: `torchvision/models/*.py`; `inception.py` of mseitzer/pytorch-fid;
richzhang/PerceptualSimilarity.
"""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightFile:
    """Published file of weights; `max_bytes` bounds the download.

    `sha256` is as far as published: PyTorch's file names have the first 8 digits.
    """

    content: str
    url: str
    file_name: str
    sha256: str
    max_bytes: int
    licence: str


_LPIPS_SHA256 = {
    "vgg": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    "alex": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    "squeeze": "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76",
}


def _torchvision(content: str, name: str, sha256: str, max_bytes: int) -> WeightFile:
    return WeightFile(
        content=content,
        url=f"https://download.pytorch.org/models/{name}-{sha256}.pth",
        file_name=f"{name}-{sha256}.pth",
        sha256=sha256,
        max_bytes=max_bytes,
        licence=f"{content.split()[0]}'s weights: torchvision's (BSD-3-Clause), trained"
        " on ImageNet, whose terms may bind too; https://github.com/pytorch/vision",
    )


VGG16 = _torchvision("VGG16", "vgg16", "397923af", 600_000_000)
ALEXNET = _torchvision("AlexNet", "alexnet-owt", "7be5be79", 300_000_000)
SQUEEZENET = _torchvision("SqueezeNet 1.1", "squeezenet1_1", "b8a52dc0", 10_000_000)
INCEPTION = WeightFile(
    content="the Inception network of 2015",
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth",
    file_name="pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d",
    max_bytes=150_000_000,
    licence="Inception's weights: Google's of 2015, as pytorch-fid converted them "
    "(Apache-2.0); https://github.com/mseitzer/pytorch-fid",
)
LPIPS = {
    network: WeightFile(
        content=f"LPIPS's weights for {network}",
        url="https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/"
        f"lpips/weights/v0.1/{network}.pth",
        file_name=f"lpips_v0.1_{network}.pth",
        sha256=sha256,
        max_bytes=100_000,
        licence="LPIPS's weights: BSD-2-Clause; "
        "https://github.com/richzhang/PerceptualSimilarity",
    )
    for network, sha256 in _LPIPS_SHA256.items()
}
