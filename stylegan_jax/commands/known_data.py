"""The data of a network: what it was trained on, unless flags say otherwise.

Commands that compare a network with data have the flags `--data.*`. Of a run, and of
the network in the box, their defaults are the data that it was trained on. Of other
files the data is not known.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from stylegan_jax import loading
from stylegan_jax.commands import cli
from stylegan_jax.data.config import DataConfig, kind_of
from stylegan_jax.data.sources import Source, open_source
from stylegan_jax.errors import UserError
from stylegan_jax.interop import pretrained
from stylegan_jax.runs import run_directory

Args = TypeVar("Args")

_FLAGS = "the flags"  # where data is known from that they name
_ON_DISK = ("folder", "zip", "pyramid")
# As configs/portraits32.py has it.
_BOXED = {"portraits": DataConfig(name="portraits", portraits_size=50_000)}


class _Unset(str):
    """A name that nobody gave."""


_UNSET = _Unset(DataConfig.name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Flags(DataConfig):
    """The flags as they are, before it is known what they add to."""

    name: str = _UNSET

    def __post_init__(self) -> None:
        """Checks nothing."""


@dataclasses.dataclass(frozen=True)
class KnownData:
    """The data of a network.

    Attributes:
        config: what it is; None if it is not known.
        origin: where it is known from, for messages.
    """

    config: DataConfig | None
    origin: str

    @functools.cached_property
    def source(self) -> Source:
        """The data, opened.

        Raises:
            UserError: it is not known, missing or unusable; says what to do.
        """
        if self.config is None:
            raise UserError(
                f"{self.origin}: it is not known what this was trained on; give the "
                "data to compare with, --data.path FOLDER (or a zip file, or prepared "
                "data), or --data.name portraits"
            )
        try:
            return open_source(self.config)
        except UserError as error:
            if self.origin == _FLAGS:
                raise
            raise UserError(
                f"{error} (this is the data of {self.origin}; --data.path says where "
                "it is now)"
            ) from error


def parse(
    entry: type[Args], argv: Sequence[str] | None, *, prog: str
) -> tuple[Args, KnownData]:
    """Reads the flags of an entry point with `network` and `data`.

    `--data.path` alone moves a run's data, and decides what kind it is; a
    `--data.name` other than the run's is other data, whose settings have the usual
    defaults.

    Args:
        entry: a dataclass; `network` may be None, `data` is a `DataConfig`.
        argv: the words after the program's name; None takes `sys.argv`.
        prog: how the program is called.

    Returns:
        The flags, and the data of the network. If that is not known, `data` of the
        flags means nothing.

    Raises:
        UserError: the run's configuration cannot be read, or flags do not go together.
    """
    # Which word is the network, only the parser knows.
    loose: Any = cli.parse(
        cli.with_defaults(entry, {"data": _Flags()}), argv, prog=prog
    )
    flags: _Flags = loose.data
    named, placed = flags.name is not _UNSET, flags.path is not None
    config, origin = _of_network(loose.network)
    if named or placed:
        config, origin = _moved(config, flags, named=named), _FLAGS
    if config is None:
        return loose, KnownData(None, origin)
    args: Any = cli.parse(cli.with_defaults(entry, {"data": config}), argv, prog=prog)
    return args, KnownData(args.data, origin)


def _moved(of_run: DataConfig | None, flags: _Flags, *, named: bool) -> DataConfig:
    """What the flags change, where they name other data or another place."""
    fresh = DataConfig(num_channels=of_run.num_channels if of_run else 3)
    before = of_run or fresh
    if named or flags.path is None:
        return before if before.name == flags.name else fresh
    if before.name not in _ON_DISK:
        if before.name != fresh.name:
            return before  # the data_dir of a TFDS data set
        before = fresh
    kind = kind_of(flags.path)
    labels = before.labels
    if kind != before.name and "pyramid" in (kind, before.name):
        labels = flags.labels  # which the other kind does not know
    return dataclasses.replace(before, name=kind, path=flags.path, labels=labels)


def _of_network(network: str | None) -> tuple[DataConfig | None, str]:
    """The data that a network was trained on, if it is known, and the network."""
    if network is None:
        return None, "these images"
    what = f"the network {network}"
    name = loading.public_name(network)
    if name is not None:
        return _BOXED.get(name), what
    run = run_directory.run_of(Path(network))
    if run is not None:
        return run_directory.data_config(run), f"the run {run}"
    path = loading.located(network).absolute()
    found = [n for n in pretrained.names() if pretrained.network(n) == path]
    return _BOXED.get(next(iter(found), "")), what
