"""Figures of training runs, and their flags."""

import dataclasses
from pathlib import Path

from stylegan_jax.commands.figure_flags import Drawn, Figure, Moving
from stylegan_jax.commands.flag_groups import parse_seeds
from stylegan_jax.errors import UserError
from stylegan_jax.figures import family_rows, mapping_grids, points, speed_rows
from stylegan_jax.figures.studio import Studio


@dataclasses.dataclass(frozen=True, kw_only=True)
class Theory(Moving):
    """Densities and D(x) through a run on points on the line (GAN, figure 1)."""

    fps: int = 8  # frames per second
    frames: int = 60  # moments of the run at most, evenly spread

    def draw(self, studio: Studio) -> Drawn:
        return points.theory(self.run, frames=self.frames)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Modes(Figure):
    """Points through training, of a run and of others beside it."""

    beside: tuple[Path, ...] = ()  # other runs
    columns: int = 6  # moments of the run at most, evenly spread

    def draw(self, studio: Studio) -> Drawn:
        runs = (self.run, *self.beside)
        return points.modes(runs, count=self.columns)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Disentanglement(Figure):
    """Why a mapping network: factors in z and w (figure 6), of two runs on points."""

    beside: Path | None = None  # the run without a mapping network

    def draw(self, studio: Studio) -> Drawn:
        if self.beside is None:
            raise UserError("--beside is missing: a run without a mapping network")
        mapped = self.run
        return mapping_grids.disentanglement(mapped, self.beside)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GrowingSpeed(Figure):
    """Samples and a score of runs over their time of training: why growing is fast."""

    beside: tuple[Path, ...] = ()  # other runs, such as one that does not grow
    seeds: str = "0-1"
    psi: float = 0.7
    columns: int = 6  # equal steps of time
    score: str | None = None  # by default the first that all runs recorded

    def draw(self, studio: Studio) -> Drawn:
        runs = (self.run, *self.beside)
        names = ("score", "psi", "columns", "batch_size", "cell")
        options = {name: getattr(self, name) for name in names}
        options["label"] = studio.label
        return speed_rows.growing_speed(runs, parse_seeds(self.seeds), **options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family(Figure):
    """Samples and a score of runs of different networks on the same data."""

    beside: tuple[Path, ...] = ()  # other runs
    titles: tuple[str, ...] = ()  # of all runs; by default their names
    seeds: str = "0-23"
    psi: float = 1.0
    columns: int = 12
    score: str | None = None  # by default the first that all runs recorded

    def draw(self, studio: Studio) -> Drawn:
        runs = (self.run, *self.beside)
        names = ("titles", "score", "psi", "columns", "batch_size", "cell")
        options = {name: getattr(self, name) for name in names}
        options["label"] = studio.label
        return family_rows.family(runs, parse_seeds(self.seeds), **options)
