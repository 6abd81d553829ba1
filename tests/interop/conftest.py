"""Traces of pickles whose code has run."""

import pytest


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory):
    """What exists once something has run."""
    return tmp_path_factory.mktemp("hostile") / "sentinel"
