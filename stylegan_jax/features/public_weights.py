"""Files of weights that anybody may fetch: what, where, and on which terms.

Source of addresses: `torchvision/models/*.py`; `inception.py` of mseitzer/pytorch-fid;
richzhang/PerceptualSimilarity.
"""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightFile:
    """A file of weights that anybody may fetch.

    Attributes:
        content: what it is, for people.
        url: where its authors publish it.
        file_name: its name in the cache.
        sha256: in hexadecimal, as far as it is published: PyTorch's file names carry
            the first eight digits.
        max_bytes: more than it has; its exact size is not published.
        licence: of the weights, and what is known of them.
    """

    content: str
    url: str
    file_name: str
    sha256: str
    max_bytes: int
    licence: str


def _torchvision(network: str) -> str:
    return (
        f"{network}'s weights: torchvision's (BSD-3-Clause), trained on ImageNet, "
        "whose terms may bind too; https://github.com/pytorch/vision"
    )


def _lpips(network: str, sha256: str) -> WeightFile:
    return WeightFile(
        content=f"LPIPS's weights for {network}",
        url="https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/"
        f"lpips/weights/v0.1/{network}.pth",
        file_name=f"lpips_v0.1_{network}.pth",
        sha256=sha256,
        max_bytes=100_000,
        licence="LPIPS's weights: BSD-2-Clause; "
        "https://github.com/richzhang/PerceptualSimilarity",
    )


VGG16 = WeightFile(
    content="VGG16",
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
    file_name="vgg16-397923af.pth",
    sha256="397923af",
    max_bytes=600_000_000,
    licence=_torchvision("VGG16"),
)
ALEXNET = WeightFile(
    content="AlexNet",
    url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    file_name="alexnet-owt-7be5be79.pth",
    sha256="7be5be79",
    max_bytes=300_000_000,
    licence=_torchvision("AlexNet"),
)
SQUEEZENET = WeightFile(
    content="SqueezeNet 1.1",
    url="https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
    file_name="squeezenet1_1-b8a52dc0.pth",
    sha256="b8a52dc0",
    max_bytes=10_000_000,
    licence=_torchvision("SqueezeNet"),
)
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
# The digests are of the files in that repository; those in the wheel lpips 0.1.4 on
# PyPI are the same.
LPIPS = {
    "vgg": _lpips(
        "vgg", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"
    ),
    "alex": _lpips(
        "alex", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"
    ),
    "squeeze": _lpips(
        "squeeze", "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76"
    ),
}
