"""What is looked at before a run writes anything."""

import dataclasses
from pathlib import Path

from stylegan_jax.data.sources import Source, require_classes
from stylegan_jax.errors import UserError
from stylegan_jax.io.bucket import is_remote
from stylegan_jax.training.config import Config
from stylegan_jax.training.schedule import phases
from stylegan_jax.training.step import part_problem


def check(config: Config, source: Source, devices: int) -> Config:
    """The configuration of a run that can be trained to its end.

    Args:
        config: as it was given.
        source: its data.
        devices: number of them, in all processes.

    Returns:
        The same with the label size of the data, and its path made absolute.

    Raises:
        UserError: no; names every phase whose minibatch cannot be shared out, or what
            the data lacks.
    """
    config = fit_to_data(config, source)
    schedule = phases(config.schedule, config.model.resolution)
    problems = [part_problem(config.model, phase, devices) for phase in schedule]
    if any(problems):
        raise UserError("\n  ".join(dict.fromkeys(filter(None, problems))))
    for resolution in {phase.resolution for phase in schedule}:
        source.image(0, resolution)  # prepared data may lack a resolution
    return config


def fit_to_data(config: Config, source: Source) -> Config:
    """Gives the networks the label size of the data, unless the recipe set one.

    A local path is made absolute: a run is looked at from elsewhere, too.

    Raises:
        UserError: the recipe set another one, labels are vectors that are no classes,
            or the discriminator would not see them.
    """
    require_classes(source)
    if source.label_size and not config.model.embed_labels:
        raise UserError(
            f"{source.name} has labels, and the discriminator of a network without "
            "label embedding (ProGAN's, configuration A) does not see them; set "
            "model.embed_labels, or data.labels to none"
        )
    wanted = config.model.label_size
    if wanted not in (0, source.label_size):
        raise UserError(
            f"model.label_size is {wanted}, but {source.name} has {source.label_size} "
            "classes; leave it at 0 to take the data's, or change data.labels"
        )
    model = dataclasses.replace(config.model, label_size=source.label_size)
    data = config.data
    if data.path and not is_remote(data.path):
        path = str(Path(data.path).expanduser().absolute())
        data = dataclasses.replace(data, path=path)
    return dataclasses.replace(config, model=model, data=data)
