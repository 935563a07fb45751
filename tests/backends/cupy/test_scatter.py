"""Picking and adding by index on the CuPy backend against NumPy's."""

import numpy as np
import pytest


def indexes(rng, size, *shape):
    """Random indexes, some of them skipped."""
    return rng.integers(-1, size, shape).astype(np.int32)


@pytest.mark.parametrize("ignore", [None, 2, -1])
def test_values_are_cut_towards_zero(both, ignore):
    values = np.array([0, 1.9, 2.0, 3.99, -0.5], both.real)
    both.compare("to_index", values, 4, out=np.empty(5, np.int32), ignore=ignore)


@pytest.mark.parametrize("value", [4.0, -1.0, -3.0, np.nan, np.inf, -np.inf, 1e12])
def test_bad_index_gives_nan_and_is_left_out_of_sums(both, value):
    index = both.on_device(np.empty(3, np.int32))
    values = both.on_device(np.array([1, value, 2], both.real))
    assert both.ops.to_index(values, 4, out=index) is None
    x, out = both.on_device(np.arange(4, dtype=both.real).reshape(4, 1)), both.on_device(np.empty((3, 1), both.real))
    both.ops.take_rows(x, index, out=out)
    np.testing.assert_array_equal(both.on_host(out)[:, 0], [1, np.nan, 2])
    both.ops.select(x.reshape(1, 4, 1), index.reshape(3, 1), out=out)
    np.testing.assert_array_equal(both.on_host(out)[:, 0], [1, np.nan, 2])
    total = both.on_device(np.zeros((4, 1), both.real))
    both.ops.add_rows(out, index, acc=total)
    both.ops.add_selected(out, index.reshape(3, 1), acc=both.on_device(np.zeros((3, 4, 1), both.real)))
    assert both.on_host(total)[:, 0].tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("n, c, k", [(3, 5, 1), (4, 2, 30), (1, 1, 1), (300, 3, 2)])
def test_selecting_and_adding_agree(both, n, c, k):
    rng = np.random.default_rng(1)
    index = indexes(rng, c, n, k)
    for shape in ((n, c, k), (1, c, k), (n, c, 1), (1, c, 1)):
        both.compare("select", both.draw(rng, *shape), index, out=np.empty((n, k), both.real), fill=7.0)
    both.compare("add_selected", both.draw(rng, n, k), index, acc=both.draw(rng, n, c, k))


@pytest.mark.parametrize("rows, width, count", [(5, 4, 3), (3, 300, 40), (2, 1, 500), (100, 7, 60), (1, 1100, 9)])
def test_taking_and_adding_rows_agree(both, rows, width, count):
    rng = np.random.default_rng(2)
    index = indexes(rng, rows, count)
    both.compare("take_rows", both.draw(rng, rows, width), index, out=np.empty((count, width), both.real))
    both.compare("add_rows", both.draw(rng, count, width), index, acc=both.draw(rng, rows, width))


def test_nothing_is_left_alone(both):
    nothing, index = np.empty((0, 3), both.real), np.empty(0, np.int32)
    both.compare("take_rows", np.ones((2, 3), both.real), index, out=nothing)
    both.compare("add_rows", nothing, index, acc=np.ones((2, 3), both.real))
