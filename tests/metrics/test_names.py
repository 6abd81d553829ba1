import pytest

from stylegan_jax.common.errors import UserError
from stylegan_jax.metrics.names import Measure, parse_measures


def test_official_names_have_the_official_numbers():
    measures = parse_measures("fid50k, ppl_wend,ls,is50k")
    assert measures == (
        Measure("fid", 50_000),
        Measure("ppl_wend", 100_000),
        Measure("ls", 200_000),
        Measure("is", 50_000),
    )
    assert [m.name for m in measures] == ["fid50k", "ppl_wend", "ls", "is50k"]


@pytest.mark.parametrize("name", ["fid5k", "kid0.5k", "ppl_zfull2k", "ls20k"])
def test_other_numbers_are_in_the_name(name):
    (measure,) = parse_measures(name)
    assert measure.name == name
    assert measure.count == float(name.strip("abcdefghijklmnopqrstuvwxyz_")) * 1000


def test_each_is_measured_once():
    assert len(parse_measures("fid5k,fid5k,ls,ls200k")) == 2


@pytest.mark.parametrize(
    ("name", "hint"),
    [("fid", "did you mean fid50k"), ("ppl_wende", "ppl_wend"), ("", "known: fid50k")],
)
def test_unknown_names_are_told_the_known_ones(name, hint):
    with pytest.raises(UserError, match=hint):
        parse_measures(name)
    with pytest.raises(UserError, match="would take 1 images"):
        parse_measures("fid0.001k")
