"""Hypothesis strategies: good files with something done to them."""

from collections.abc import Sequence

from hypothesis import strategies as st

# Numbers that sizes are likely to be compared with, in both byte orders.
_SIZES = tuple(
    n.to_bytes(width, order, signed=n < 0)
    for n in (0, -1, 2**31 - 1, 1 << 20)
    for width in (4, 8)
    for order in ("little", "big")
)


@st.composite
def files(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds, changed in one to four places; rarely only invented bytes."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        # Headers are at one end or the other.
        at = draw(st.sampled_from((at, at % 64, max(len(data) - 1 - at % 64, 0))))
        match draw(st.sampled_from(("flip", "cut", "size", "drop", "copy", "put"))):
            case "flip":
                new = bytes([draw(st.integers(0, 255))])
                data = data[:at] + new + data[at + 1 :]
            case "cut":
                data = data[:at]
            case "size":
                new = draw(st.sampled_from(_SIZES))
                data = data[:at] + new + data[at + len(new) :]
            case "drop":
                data = data[:at] + data[at + draw(st.integers(1, 40)) :]
            case "copy":
                end = at + draw(st.integers(1, 200))
                data = data[:end] + data[at:end] + data[end:]
            case _:
                new = draw(st.binary(min_size=1, max_size=12))
                data = data[:at] + new + data[at:]
    return data
