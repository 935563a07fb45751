"""Records on their way into a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

Record = tuple[bytes, bytes]
"""Key, value."""

Put = Callable[[Sequence[Record]], None]
"""Adds records to a database that is being written."""

RECORDS_AT_ONCE, BYTES_AT_ONCE = 1000, 1 << 26  # Caffe's tools commit as many


def portions(
    records: Iterable[Record], most: int = RECORDS_AT_ONCE, most_bytes: int = BYTES_AT_ONCE
) -> Iterator[list[Record]]:
    """Records in lists of a bounded number and size."""
    portion: list[Record] = []
    held = 0
    for record in records:
        portion.append(record)
        held += len(record[1])
        if len(portion) == most or held > most_bytes:
            yield portion
            portion, held = [], 0
    if portion:
        yield portion


def put_all(put: Put, records: Iterable[Record]) -> int:
    """Adds every record, portion by portion; returns how many."""
    count = 0
    for portion in portions(records):
        put(portion)
        count += len(portion)
    return count
