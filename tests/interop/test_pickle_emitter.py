"""The standard library reads what the emitter writes."""

import io
import pickle

import numpy as np
import pytest

from stylegan_jax.interop import pickle_emitter


class Loader(pickle.Unpickler):
    """The standard library's; old NumPy's module under its new name."""

    def find_class(self, module, name):
        """Without the warning that the old name gives."""
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def test_the_emitter_writes_what_the_standard_library_reads():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    value = {
        "plain": [None, True, False, 0, -1, 2**31 - 1, 0.1, "", "\u00e9\n", (), [], {}],
        "arrays": (array, array.T, np.float32(2).reshape(1)[0:0], array),
    }
    file = io.BytesIO()
    pickle_emitter.dump(value, file)
    found = Loader(io.BytesIO(file.getvalue())).load()
    assert found["plain"] == value["plain"]
    assert [type(x) for x in found["plain"]] == [type(x) for x in value["plain"]]
    for ours, theirs in zip(found["arrays"], value["arrays"], strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)
    assert found["arrays"][0] is found["arrays"][3]
    for odd in (object(), np.zeros(2), {1}, b"bytes"):
        with pytest.raises(TypeError, match="no opcodes for"):
            pickle_emitter.dump([odd], io.BytesIO())
