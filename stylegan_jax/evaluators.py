"""Measures during training (`metrics` of a recipe)."""

import functools
from collections.abc import Sequence

from stylegan_jax.data.sources import Source
from stylegan_jax.errors import UserError
from stylegan_jax.metrics import measures
from stylegan_jax.metrics.names import Measure
from stylegan_jax.metrics.task import MeasureOptions
from stylegan_jax.training.config import Config
from stylegan_jax.training.evaluation import Evaluator


def make_evaluators(
    config: Config, wanted: Sequence[Measure], source: Source
) -> list[Evaluator]:
    """Evaluators for training to run at checkpoints, one per measure.

    Raises UserError now for whatever would make a measure fail: unavailable weights, or
    data that does not allow it.
    """
    if not wanted:
        return []
    if config.model.resolution == 1:
        raise UserError(
            "metrics.names are measures of images, and this network draws points; "
            "measure them with python -m stylegan_jax.coverage RUN"
        )
    section = config.metrics
    options = MeasureOptions(
        mirror=config.data.mirror,
        inception=section.inception,
        vgg16=section.vgg16,
        lpips=section.lpips,
        features=section.features,
        seed=section.seed,
        batch_size=section.batch_size,
        quiet=True,  # the display of the run is there already
    )

    def evaluator(measure: Measure) -> Evaluator:
        try:
            scores = measures.prepare(source, measure, options)
        except UserError as error:
            raise UserError(
                f"metrics.names has {measure.name}, which cannot be taken: {error}; "
                "`metrics.inception`, `metrics.vgg16`, `metrics.lpips` and "
                "`metrics.features` take files of yours"
            ) from error
        return Evaluator(
            name=measure.name,
            every_kimg=section.every_kimg or config.checkpoint.every_kimg,
            run=functools.partial(
                measures.take, source=source, measure=measure, options=options
            ),
            larger_is_better=scores,
        )

    return [evaluator(measure.on(len(source))) for measure in wanted]
