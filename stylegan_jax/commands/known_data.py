"""Data flags that default to a network's training data."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, TypeVar

from stylegan_jax import loading
from stylegan_jax.commands import cli
from stylegan_jax.data.config import POINTS, DataConfig, by_path
from stylegan_jax.data.sources import Source, open_source
from stylegan_jax.errors import UserError

Args = TypeVar("Args")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Unchecked(DataConfig):
    # Flags, before it is known what they add to.
    __doc__ = DataConfig.__doc__

    def __post_init__(self) -> None:
        """No checks."""


@dataclasses.dataclass(frozen=True)
class KnownData:
    """The data of a network.

    Attributes:
        config: what it is; None if it is not known.
        owner: the network or run whose data it is; None if flags say otherwise.
    """

    config: DataConfig | None
    owner: str | None

    @functools.cached_property
    def source(self) -> Source:
        """The opened data; UserError if unknown, missing or unusable."""
        if self.config is None:
            raise UserError(
                f"{self.owner}: it is not known what this was trained on; give the "
                "data to compare with, --data.path FOLDER (or a zip file, or prepared "
                "data), or --data.name portraits"
            )
        try:
            return open_source(self.config)
        except UserError as error:
            if self.owner is None:
                raise
            raise UserError(
                f"{error} (this is the data of {self.owner}; --data.path says where "
                "it is now)"
            ) from error


def parse(
    entry: type[Args], argv: Sequence[str] | None, *, prog: str
) -> tuple[Args, KnownData]:
    """Parses the flags of an entry point with `network` and `data`.

    `--data.path` alone moves a run's data, and decides its kind; a `--data.name` other
    than the run's is other data with the usual defaults. If the network's data is
    unknown, the flags' `data` is meaningless.
    """

    def read(data: DataConfig) -> Any:
        return cli.parse(entry, argv, prog=prog, data=data)

    loose = read(_Unchecked())  # which word is the network, only the parser knows
    config, owner = None, "these images"
    if loose.network is not None:
        config, owner = loading.trained_on(loose.network)
    named = cli.is_given("data.name", argv)
    if named or loose.data.path is not None:
        config, owner = _default(config, loose.data, named=named), None
    if config is None:
        return loose, KnownData(None, owner)
    args = read(config)
    return args, KnownData(args.data, owner)


def _default(
    of_run: DataConfig | None, flags: DataConfig, *, named: bool
) -> DataConfig:
    """Defaults for flags that name other data or another path."""
    fresh = DataConfig(num_channels=of_run.num_channels if of_run else 3)
    before = of_run or fresh
    if named:
        return before if before.name == flags.name else fresh
    if before.name in ("portraits", *POINTS):
        before = fresh
    moved = dataclasses.replace(before, path=flags.path, labels="none")
    moved, _ = by_path(moved, named=False)
    if moved.name != before.name and "pyramid" in (moved.name, before.name):
        return moved  # the other kind does not know these labels
    return dataclasses.replace(moved, labels=before.labels)
