"""Records in portions."""

import pytest

from layerforge.data.portions import portions


@pytest.mark.parametrize(("sizes", "expected"), [
    ([1] * 7, [3, 3, 1]), ([100, 1, 1, 1, 1], [1, 3, 1]), ([5, 6, 1], [2, 1]), ([], [])])
def test_portions_are_bounded_in_number_and_size(sizes, expected):
    records = [(b"%d" % i, bytes(size)) for i, size in enumerate(sizes)]
    made = list(portions(records, 3, 10))
    assert [len(portion) for portion in made] == expected
    assert [record for portion in made for record in portion] == records
