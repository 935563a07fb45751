"""The order of equal scores."""

import numpy as np
import pytest

from layerforge.layers.detection_order import falling


@pytest.mark.parametrize("size", [0, 1, 2, 16, 17, 100, 500])
def test_scores_fall_and_every_index_comes_once(size):
    scores = np.random.default_rng(size).integers(0, 9, size).astype(float)
    order = falling(scores)
    assert sorted(order) == list(range(size))
    assert (np.diff(scores[order]) <= 0).all()


def test_few_equal_scores_keep_their_order():
    assert falling([0.5] * 10) == list(range(10))


def test_many_equal_scores_are_exchanged_from_both_ends():
    assert falling([0.5] * 20) != list(range(20))


def test_a_bad_case_still_falls():
    ordered = list(range(3000))
    organ = np.array(ordered[::2] + ordered[1::2][::-1], float)
    assert (np.diff(organ[falling(organ)]) <= 0).all()
