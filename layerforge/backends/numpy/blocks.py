"""Cutting work into blocks whose temporaries stay in the cache."""

from collections.abc import Iterator

BLOCK_BYTES = 1 << 20  # about half of a core's second-level cache; twice or half as much times the same


def blocks(count: int, bytes_each: int, block_bytes: int = BLOCK_BYTES) -> Iterator[slice]:
    """Slices that cover 0 … count-1, each of about `block_bytes`."""
    step = max(1, block_bytes // max(1, bytes_each))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def reach(offset: int, stride: int, size: int, outputs: int) -> tuple[slice, slice]:
    """The outputs p whose place stride·p + offset lies in 0 … size-1, and these places: (slice of p, slice of places).

    offset = dilation·k - pad of kernel position k
    """
    first = max(0, -(offset // stride))
    end = min(outputs, (size - 1 - offset) // stride + 1)
    if end <= first:
        return slice(0, 0), slice(0, 0)
    start = stride * first + offset
    return slice(first, end), slice(start, start + stride * (end - first - 1) + 1, stride)
