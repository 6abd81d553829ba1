"""What can be known of a measure before it is taken: its scores, and whether it can."""

from collections.abc import Callable
from pathlib import Path

from stylegan_jax.classifiers import own
from stylegan_jax.classifiers.attribute_classifiers import attribute_table
from stylegan_jax.data.sources import Source
from stylegan_jax.errors import UserError
from stylegan_jax.features import inception, lpips, vgg16
from stylegan_jax.metrics.measures import MeasureOptions, require_enough
from stylegan_jax.metrics.names import Measure

_LOOKED_AT = 500  # labels of the data, to see whether there are any
_PATH_LENGTHS = ("ppl_zfull", "ppl_wfull", "ppl_zend", "ppl_wend")

# Of each kind: the ends of the names of its scores, and whether larger is better.
_SCORES: dict[str, dict[str, bool]] = {
    "fid": {"": False},
    "kid": {"": False},
    "pr": {"_precision": True, "_recall": True},
    "is": {"_mean": True},
    **{kind: {"": False} for kind in _PATH_LENGTHS},
    "ls": {"_z": False, "_w": False},
}


def prepare(
    source: Source, measure: Measure, options: MeasureOptions
) -> dict[str, bool]:
    """Makes sure, before a long wait, that a measure can be taken.

    Weights are fetched and read, and the data is asked for what is needed of it.

    Args:
        source: the data to compare with.
        measure: which, with its number of images.
        options: where weights are.

    Returns:
        The scores by which generators can be put in order, and for each whether a
        larger one is better.

    Raises:
        UserError: weights cannot be had, or the data does not allow the measure.
    """
    require_enough(source, measure)
    features = None
    if measure.kind == "ls":
        some = range(0, len(source), max(1, len(source) // _LOOKED_AT))
        attribute_table(source, None, some)
    elif options.features is not None:
        given = options.features
        features = (own.load(given) if isinstance(given, Path) else given).name
        if measure.kind == "is":
            raise UserError(
                f"{measure.name} is a score of Inception's classes, and {features} has"
                " none; leave one of the two out"
            )
    else:
        _LOADS[measure.kind](options)
    base = measure.name_on(features)
    return {f"{base}{end}": larger for end, larger in _SCORES[measure.kind].items()}


def _load_inception(options: MeasureOptions) -> None:
    inception.load(options.inception)


def _load_vgg16(options: MeasureOptions) -> None:
    vgg16.load(options.vgg16, dense=True)


def _load_lpips(options: MeasureOptions) -> None:
    lpips.load(trunk=options.vgg16, linear=options.lpips)


_LOADS: dict[str, Callable[[MeasureOptions], None]] = {
    "fid": _load_inception,
    "kid": _load_inception,
    "is": _load_inception,
    "pr": _load_vgg16,
    **dict.fromkeys(_PATH_LENGTHS, _load_lpips),
}
