"""Blocks of work, and the outputs that reach a place."""

import pytest

from layerforge.backends.numpy.blocks import blocks, reach


@pytest.mark.parametrize("count, each, size, lengths", [
    (10, 4, 16, [4, 4, 2]), (3, 100, 16, [1, 1, 1]), (5, 0, 16, [5]), (0, 4, 16, []),
])
def test_blocks_cover_all_and_hold_about_their_size(count, each, size, lengths):
    parts = list(blocks(count, each, size))
    assert [part.stop - part.start for part in parts] == lengths
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(count))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("offset", range(-5, 8))
def test_reach_finds_the_outputs_whose_places_exist(offset, stride):
    size, outputs = 6, 4
    want = [(p, stride * p + offset) for p in range(outputs) if 0 <= stride * p + offset < size]
    p, places = reach(offset, stride, size, outputs)
    assert list(zip(range(p.start, p.stop), range(places.start, places.stop, places.step or 1))) == want
    assert p.stop - p.start == len(want)
