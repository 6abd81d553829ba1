"""Damaged and invented files of every kind: our error or nothing, within bounds.

A few examples of each here; `python -m benchmarks.fuzz` runs many.
"""

import tracemalloc
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.io import damage, hostile

KINDS = hostile.kinds()
MAX_BYTES = 48 << 20  # the files have some kilobytes


@pytest.mark.parametrize("name", KINDS)
def test_the_seeds_are_good(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    for seed in kind.seeds:
        path = tmp_path / f"a{kind.suffix}"
        path.write_bytes(seed)
        assert kind.read(path) is not None


@pytest.mark.parametrize("count", [8, pytest.param(30, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("name", KINDS)
def test_damage_is_one_of_our_errors(name: str, count: int, tmp_path: Path) -> None:
    kind = KINDS[name]
    path = tmp_path / f"a{kind.suffix}"

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        path.write_bytes(data.draw(damage.files(kind.seeds)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, about what is odd
            try:
                kind.read(path)
            except hostile.OURS as error:
                assert str(error)

    tracemalloc.start()
    try:
        run()
        assert tracemalloc.get_traced_memory()[1] < MAX_BYTES
    finally:
        tracemalloc.stop()
