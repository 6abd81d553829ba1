"""Run directory: configuration, record of starts, data.

| file | contents |
|---|---|
| `config.json` | the configuration, as plain JSON |
| `provenance.json` | every start: code, machine, data, changes |
| `checkpoints/` | see `runs/checkpoint.py` |
| `.lock` | held by the process that trains (`io/locks.py`) |
"""

import logging
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.sources import Source, spread
from stylegan_jax.errors import UserError
from stylegan_jax.io import mirror, records
from stylegan_jax.io.mirror import as_url, is_remote
from stylegan_jax.networks.config import ModelConfig, stored_model_config
from stylegan_jax.runs import provenance, stored

LOCK = ".lock"
_FINGERPRINTED = 256  # images: reading more takes long
_SECTIONS = ("model", "data", "schedule", "run")
_log = logging.getLogger(__name__)


def run_of(path: Path) -> Path | None:
    """Run directory of a run or checkpoint path, or None; of a bucket, a local copy."""
    if is_remote(path):
        path = mirror.fetched(as_url(path))
    above = path.absolute()
    runs = [x.parent for x in (above, above.parent) if x.name == "checkpoints"]
    return next((x for x in (path, *runs) if (x / "config.json").exists()), None)


def shown(run: Path) -> int | None:
    """Images shown to the newest checkpoint, None without one."""
    steps = stored.step_directories(run / "checkpoints")
    return steps[0][0] if steps else None


def read_config(
    run: Path, needs: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Sections of a run's configuration, as plain JSON values.

    `needs` has shapes (`records`) of required fields, by section. Raises UserError if
    the file is missing or invalid.
    """
    if not (run / "config.json").exists():
        raise UserError(
            f"{run} is not a run directory: it has no config.json; give what "
            "`workdir` was in training"
        )
    shape = {section: {**(needs or {}).get(section, {})} for section in _SECTIONS}
    return records.read(
        run / "config.json", shape, way_on=provenance.CONFIG_AGAIN, inside=run
    )


def data_config(run: Path) -> DataConfig:
    """Data configuration of a run; UserError also for other versions' runs."""
    return _described(run, "data", _stored_data_config)


def model_config(run: Path) -> ModelConfig:
    """Architecture of a run's networks; UserError also for other versions' runs."""
    return _described(run, "model", stored_model_config)


def _described(run: Path, section: str, make: Callable[[dict[str, Any]], Any]) -> Any:
    stored = read_config(run)[section]
    try:
        return make(stored)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{run / 'config.json'} does not describe the {section} ({error}); if no "
            f"other version made the run, {provenance.CONFIG_AGAIN}"
        ) from error


def _stored_data_config(section: dict[str, Any]) -> DataConfig:
    shape = {}
    for name, hint in typing.get_type_hints(DataConfig).items():
        text = typing.get_origin(hint) is typing.Literal
        shape[name] = str if text else typing.get_args(hint) or hint
    records.check(section, {name: shape.get(name, object) for name in section})
    return DataConfig(**section)


def begin(
    workdir: Path,
    config: Any,
    source: Source,
    *,
    devices: Sequence[str],
    resolution: int,
    changed: Mapping[str, str],
) -> None:
    """Makes or updates a run directory, on process 0; warns of changes.

    `devices` describe the accelerators, `resolution` is the data's, for the fingerprint
    of some images, and `changed` is from `provenance.changes`.
    """
    nimg = shown(workdir)
    if changed:
        way = "goes on" if nimg is not None else "has no checkpoint: it begins anew,"
        _log.warning("%s %s with %s", workdir, way, "; ".join(changed.values()))
    some = [*map(int, spread(len(source), _FINGERPRINTED))]
    fingerprint = source.fingerprint(some, resolution)
    data = {"name": source.name, "count": len(source), "fingerprint": fingerprint}
    known = [x.get("data") for x in provenance.starts(workdir)]
    known = [x for x in known if isinstance(x, dict)]
    if nimg is not None and known and known[-1].get("fingerprint") != fingerprint:
        _log.warning(
            "other images than at the last start: %s of %s then, %s of %s now; "
            "training goes on with those of now",
            *(known[-1].get("count"), known[-1].get("name")),
            *(data["count"], data["name"]),
        )
    facts = {"devices": list(devices), "nimg": nimg or 0, "data": data}
    provenance.start_run(workdir, config, **facts)
