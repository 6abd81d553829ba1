"""Opcodes of pickles, and reading what must be refused within bounds."""

import struct
import time
import tracemalloc

import pytest

MAX_SECONDS = 10.0
MAX_MEMORY = 64 << 20  # bytes a hostile file may make us use, far below what it asks
PROTO, STOP, MARK = b"\x80\x04", b".", b"("


def text(value):
    """BINUNICODE."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    """BININT, or LONG1 where that does not do."""
    if abs(value) < 1 << 31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def laughs(leaf, double, depth=60):
    """A value of 2 ** depth leaves in a few hundred bytes."""
    steps = (b"q" + bytes([i]) + b"h" + bytes([i]) + double for i in range(depth))
    return leaf + b"".join(steps)


def refused(read, path, data, kind):
    """Reads `data`, which must be refused with one line in bounds; the error."""
    path.write_bytes(data)
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(kind) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < MAX_SECONDS
    assert peak < MAX_MEMORY
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and message.isprintable()
    assert len(message) < len(str(path)) + 600
    return caught.value
