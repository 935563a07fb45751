"""Random bits of the CuPy backend against NumPy's: the same, bit for bit."""

import numpy as np
import pytest

from layerforge.core.random import Random


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 1000])
def test_bits_are_those_of_numpy(both, count):
    stream = Random(5).child("net").stream("mask")
    for draw in (0, 1, 2**40):
        both.compare("random_bits", stream.key, draw, np.zeros(count, np.uint32), rtol=0)


def test_bits_keep_the_shape(both):
    both.compare("random_bits", (2**64 - 1, 3), 9, np.zeros((3, 5, 7), np.uint32), rtol=0)
