"""How long the rest of a run takes, when each resolution takes longer than the last."""

import math

from stylegan_jax.networks.config import ModelConfig
from stylegan_jax.training.schedule import Phase


def work(model: ModelConfig, resolution: int) -> float:
    """Multiplications for one image, up to a factor: the 3x3 convolutions' and dense
    layers', which generator and discriminator have alike."""
    if model.mlp_layers:
        return 1.0
    total = float(model.mapping_layers * model.mapping_width**2)
    for size in (x for x in model.resolutions if x <= resolution):
        here, below = model.channels(size), model.channels(max(size // 2, 4))
        total += 9 * size**2 * here * (here + below)
    return total


class TimeLeft:
    """Seconds until a run is complete, from the speeds so far."""

    def __init__(self, phases: tuple[Phase, ...], model: ModelConfig) -> None:
        """Takes the whole schedule."""
        self._phases, self._model = phases, model
        self._rates: dict[int, float] = {}  # images per second by resolution

    def seconds(
        self, nimg: int, resolution: int | None, rate: float | None
    ) -> float | None:
        """What is left after `nimg` images, at `rate` images per second just now.

        A resolution that is still to come takes as much longer than the highest one
        that was measured as an image of it takes more multiplications. None: no speed
        is known yet.
        """
        if rate and resolution is not None:
            self._rates[resolution] = rate
        if not self._rates:
            return None
        return math.fsum(
            (phase.end_nimg - max(nimg, phase.start_nimg))
            / self._rate(phase.resolution)
            for phase in self._phases
            if phase.end_nimg > nimg
        )

    def _rate(self, resolution: int) -> float:
        if resolution in self._rates:
            return self._rates[resolution]
        known = max(self._rates)
        factor = work(self._model, resolution) / work(self._model, known)
        return self._rates[known] / factor
