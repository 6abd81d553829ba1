"""Images that are held out of training."""

import dataclasses

import numpy as np
import pytest

from stylegan_jax.classifiers.attribute_classifiers import attribute_table
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.sources import open_source
from stylegan_jax.errors import UserError

DATA = DataConfig(name="portraits", portraits_size=20, labels="smile", holdout=0.2)


def opened(part):
    return open_source(dataclasses.replace(DATA, part=part))


def test_both_parts_together_are_all_images_once():
    train, held_out, everything = map(opened, ("train", "held_out", "all"))
    assert [len(train), len(held_out), len(everything)] == [16, 4, 20]
    indices = [*train.indices, *held_out.indices]
    assert sorted(indices) == list(range(20)) and indices != list(range(20))
    for part in (train, held_out):
        for i, index in enumerate(part.indices):
            same = part.image(i, 8), everything.image(index, 8)
            np.testing.assert_array_equal(*same)
            np.testing.assert_array_equal(part.label(i), everything.label(index))
    assert train.fingerprint(range(4), 8) != held_out.fingerprint(range(4), 8)
    np.testing.assert_array_equal(opened("held_out").indices, held_out.indices)


def test_attributes_are_those_of_the_images_in_the_part():
    held_out, everything = map(opened, ("held_out", "all"))
    ours = attribute_table(held_out, ["age"], range(4))["age"]
    theirs = attribute_table(everything, ["age"], held_out.indices)["age"]
    np.testing.assert_array_equal(ours, theirs)
    assert 0 < ours.sum() < 4


def test_without_holdout_the_source_is_what_it_was():
    plain = dataclasses.replace(DATA, holdout=0.0)
    assert type(open_source(plain)) is type(opened("all"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"holdout": 1.0}, "data.holdout is 1.0, not from 0 to below 1"),
        ({"holdout": float("nan")}, "data.holdout is nan, not from 0"),
        ({"part": "test"}, "data.part is 'test', not one of train, held_out, all"),
        ({"holdout": 0.0, "part": "held_out"}, "nothing is held out; give data.hold"),
    ],
)
def test_parts_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(DATA, **changes)


@pytest.mark.parametrize("holdout", [0.05, 0.95])
def test_both_parts_need_images(holdout):
    with pytest.raises(UserError, match=r"`data.holdout` .* of 20 images holds"):
        open_source(dataclasses.replace(DATA, holdout=holdout))
