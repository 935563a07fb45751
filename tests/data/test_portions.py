"""Records in portions."""

import pytest

from layerforge.data import portions as module
from layerforge.data.portions import portions


@pytest.mark.parametrize(("sizes", "expected"), [
    ([1] * 7, [3, 3, 1]), ([100, 1, 1, 1, 1], [1, 3, 1]), ([5, 6, 1], [2, 1]), ([], [])])
def test_portions_are_bounded_in_number_and_size(sizes, expected, monkeypatch):
    monkeypatch.setattr(module, "RECORDS_AT_ONCE", 3)
    monkeypatch.setattr(module, "BYTES_AT_ONCE", 10)
    records = [(b"%d" % i, bytes(size)) for i, size in enumerate(sizes)]
    made = list(portions(records))
    assert [len(portion) for portion in made] == expected
    assert [record for portion in made for record in portion] == records
