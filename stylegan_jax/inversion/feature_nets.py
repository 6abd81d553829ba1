"""Frozen networks that compare images in a search."""

import dataclasses
from collections.abc import Iterator
from typing import Literal, NamedTuple, cast

import jax
from jax.sharding import Sharding

from stylegan_jax.features.extractor import FrozenNetwork, Params
from stylegan_jax.inversion import resuming

Perceptual = Literal["preset", "vgg16", "lpips", "included", "own", "none"]


class FeatureNets(NamedTuple):
    """Frozen networks that compare images; None is unused."""

    vgg16: Params | None = None
    lpips: Params | None = None
    included: Params | None = None
    own: FrozenNetwork | None = None

    def put(self, sharding: Sharding) -> "FeatureNets":
        """The networks on other devices."""
        own = self.own
        moved = FeatureNets(*jax.device_put(self[:3], sharding))
        if own is not None:
            own = dataclasses.replace(own, params=jax.device_put(own.params, sharding))
        return moved._replace(own=own)

    @property
    def kind(self) -> Perceptual:
        """What images are compared by."""
        loaded = zip(self._fields, self, strict=True)
        names = [name for name, network in loaded if network is not None]
        return cast(Perceptual, names[0] if names else "none")

    def contents(self) -> Iterator[bytes]:
        """Bytes of the networks, for `resuming.identity`."""
        yield from resuming.contents(self[:3])
        if self.own is not None:
            yield self.own.name.encode()
            yield from resuming.contents(self.own.params)


NO_FEATURES = FeatureNets()
