"""Beginning and continuing a run: what its directory says of settings and data."""

import logging
from pathlib import Path
from typing import Any

from stylegan_jax.data.sources import Source, spread
from stylegan_jax.errors import UserError
from stylegan_jax.runs import provenance, stored
from stylegan_jax.training import changes
from stylegan_jax.training.config import Config
from stylegan_jax.training.schedule import ScheduleConfig, resolution_at

LOCK = ".lock"  # in a run directory: see `io.locks`
_FINGERPRINTED = 256  # images: reading more takes long
_GROWING = ("initial_resolution", "stable_kimg", "fade_kimg")
_log = logging.getLogger(__name__)


def check(workdir: Path, config: Config, *, change: bool) -> dict[str, str]:
    """How the configuration differs from the stored one, if the run may go on with it.

    Args:
        workdir: the run directory, or one to be made.
        config: the configuration, fitted to the data.
        change: settings that change the training from here on are wanted (`change`).

    Returns:
        `name: before -> after`, by name.

    Raises:
        UserError: it may not (`changes.check`), or `workdir` is no run directory.
    """
    found = provenance.changes(workdir, config)
    if "data.path" in found:
        old = provenance.stored_config(workdir).get("data", {}).get("path")
        if old and str(Path(old).expanduser().absolute()) == config.data.path:
            del found["data.path"]  # relative, of an older version
    nimg = shown(workdir)
    if nimg is None:
        return found
    changes.check(str(workdir), found, allowed=change)
    if any(f"schedule.{name}" in found for name in _GROWING):
        _check_growing(workdir, config, nimg)
    return found


def begin(
    workdir: Path, config: Config, source: Source, *, devices: list[str], change: bool
) -> None:
    """Prepares a run directory, or brings it up to date, for process 0.

    Raises:
        UserError: see `check`.
    """
    found, nimg = check(workdir, config, change=change), shown(workdir)
    if found and nimg is None:
        said = "; ".join(found.values())
        _log.warning("%s has no checkpoint: it begins anew, with %s", workdir, said)
    elif found:
        _log.warning("%s goes on with %s", workdir, "; ".join(found.values()))
    data = {
        "name": source.name,
        "count": len(source),
        "fingerprint": source.fingerprint(
            [*map(int, spread(len(source), _FINGERPRINTED))], config.model.resolution
        ),
    }
    if nimg is not None:
        _compare_data(workdir, data)
    facts = {"nimg": nimg or 0, "data": data}
    provenance.start_run(workdir, config, devices=devices, facts=facts)


def shown(workdir: Path) -> int | None:
    """Images shown to the newest checkpoint, None without one."""
    steps = stored.step_directories(workdir / "checkpoints")
    return steps[0][0] if steps else None


def _check_growing(workdir: Path, config: Config, nimg: int) -> None:
    section = provenance.stored_config(workdir)["schedule"]
    old = ScheduleConfig(**{name: section[name] for name in _GROWING})
    final = config.model.resolution
    before, after = (resolution_at(x, final, nimg) for x in (old, config.schedule))
    if after < before:
        raise UserError(
            f"{workdir} has grown to {before} px, and with these schedule.initial_"
            f"resolution, stable_kimg and fade_kimg it would be at {after} px after "
            f"{nimg / 1000:g} kimg; give smaller ones, or another `workdir`"
        )


def _compare_data(workdir: Path, data: dict[str, Any]) -> None:
    records = [x.get("data") for x in provenance.starts(workdir) if isinstance(x, dict)]
    known = [record for record in records if isinstance(record, dict)]
    if not known or known[-1].get("fingerprint") == data["fingerprint"]:
        return
    before = known[-1]
    _log.warning(
        "other images than at the last start: %s of %s then, %s of %s now; training "
        "goes on with those of now",
        before.get("count"),
        before.get("name"),
        data["count"],
        data["name"],
    )
