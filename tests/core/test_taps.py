"""Taps of an axis."""

import numpy as np

from layerforge.core.taps import Taps, filtered, linear, nearest


def values(taps, x):
    return taps.matrix(len(x), float) @ x


def test_equal_places_add_up_in_the_matrix():
    np.testing.assert_array_equal(Taps(np.array([[1, 1]]), np.array([[2.0, 3.0]])).matrix(3, float), [[0, 5, 0]])


def test_nearest_stays_inside():
    np.testing.assert_array_equal(values(nearest([-1, 1, 9], 3), np.array([10.0, 11.0, 12.0])), [10, 11, 12])


def test_linear_weighs_by_nearness_and_keeps_the_ends():
    x = np.array([0.0, 10.0, 20.0])
    np.testing.assert_allclose(values(linear([-0.5, 0.25, 1.0, 1.5, 2.0, 2.7], 3), x), [0, 2.5, 10, 15, 20, 20])


def test_filtered_weights_inside_sum_to_one():
    taps = filtered([0.0, 1.4, 2.0], 3, 2, lambda d: np.maximum(2 - np.abs(d), 0))
    np.testing.assert_allclose(taps.matrix(3, float).sum(axis=1), 1)
    np.testing.assert_allclose(values(taps, np.array([1.0, 2.0, 4.0]))[0], (2 * 1 + 1 * 2) / 3)


def test_a_filter_that_sees_nothing_gives_zero():
    np.testing.assert_array_equal(filtered([9.0], 3, 1, lambda d: np.ones_like(d)).matrix(3, float), [[0, 0, 0]])
