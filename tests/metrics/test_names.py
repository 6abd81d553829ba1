import pytest

from stylegan_jax.errors import UserError
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
    assert len(parse_measures("fid5k,fid5k,ls,ls200k")) == 2


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [
        ("fid5k", "fid5k", 5000),
        ("kid0.5k", "kid500", 500),
        ("fid300", "fid300", 300),
        ("pr200", "pr200", 200),
        ("is1234", "is1234", 1234),
        ("fid2500", "fid2.5k", 2500),
        ("fid50000", "fid50k", 50_000),
        ("ppl_zfull2k", "ppl_zfull2k", 2000),
        ("ppl_wend40", "ppl_wend40", 40),
        ("ls20k", "ls20k", 20_000),
        ("is", "is50k", 50_000),
    ],
)
def test_any_number_is_in_the_name(text, name, count):
    (measure,) = parse_measures(text)
    assert (measure.name, measure.count) == (name, count)
    assert parse_measures(measure.name) == (measure,)


@pytest.mark.parametrize("kind", ["fid", "kid", "pr"])
def test_a_bare_name_takes_its_number_from_the_data(kind):
    (measure,) = parse_measures(kind)
    assert measure.on(500).name == f"{kind}500"
    assert measure.on(70_000).name == f"{kind}50k"
    assert Measure(kind, 300).on(500).name == f"{kind}300"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("fit", "did you mean fid50k"), ("ppl_wende", "ppl_wend"), ("", "known: fid50k")],
)
def test_unknown_names_are_told_the_known_ones(name, hint):
    with pytest.raises(UserError, match=hint):
        parse_measures(name)
    for few in ("fid0.001k", "fid1"):
        with pytest.raises(UserError, match="would take 1 images"):
            parse_measures(few)
