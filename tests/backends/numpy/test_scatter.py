"""Index kernels of NumPy against loops."""

import numpy as np
import pytest

from layerforge.backends.numpy import NumpyOps
from layerforge.backends.numpy.scatter import WIDE
from layerforge.backends.ops.scatter import SKIPPED

OPS = NumpyOps()


def index_of(values):
    return np.array(values, np.int32)


def test_to_index_cuts_towards_zero():
    out = index_of([0] * 4)
    assert OPS.to_index(np.array([1.9, -0.9, 0.0, 3.999], np.float32), 4, out=out) is None
    assert out.tolist() == [1, 0, 0, 3]


@pytest.mark.parametrize("bad", [4, -1, np.nan, np.inf, -np.inf, 1e30])
def test_to_index_finds_the_first_value_out_of_range(bad):
    assert OPS.to_index(np.array([0, 9, bad, 1, bad]), 4, out=index_of([0] * 5), ignore=9) == 2


@pytest.mark.parametrize("ignore", [1, 255, -1])
def test_to_index_marks_ignored_values(ignore):
    out = index_of([0] * 3)
    assert OPS.to_index(np.array([0.0, ignore, 2.0]), 3, out=out, ignore=ignore) is None
    assert out.tolist() == [0, SKIPPED, 2]


@pytest.mark.parametrize("x_shape", [(2, 4, 3), (1, 4, 3), (2, 4, 1), (1, 4, 1)])
def test_select_picks_along_the_middle_axis(x_shape):
    x, index = np.random.default_rng(0).normal(size=x_shape), index_of([[0, 3, SKIPPED], [2, 2, 1]])
    out = np.empty((2, 3))
    OPS.select(x, index, out=out, fill=7.0)
    full = np.broadcast_to(x, (2, 4, 3))
    for n, k in np.ndindex(2, 3):
        assert out[n, k] == (7.0 if index[n, k] == SKIPPED else full[n, index[n, k], k])


def test_add_selected_adds_where_select_picks():
    index, values = index_of([[0, 3, SKIPPED], [2, 2, 1]]), np.arange(6.0).reshape(2, 3)
    acc, want = np.ones((2, 4, 3)), np.ones((2, 4, 3))
    OPS.add_selected(values, index, acc=acc)
    for n, k in np.ndindex(2, 3):
        if index[n, k] != SKIPPED:
            want[n, index[n, k], k] += values[n, k]
    np.testing.assert_array_equal(acc, want)


@pytest.mark.parametrize("width", [1, 3, WIDE])
@pytest.mark.parametrize("index", [[3, 0, 3, SKIPPED, 3], [SKIPPED, SKIPPED], [], [1]])
def test_rows_are_taken_and_equal_ones_add_up(index, width):
    x, index = np.random.default_rng(0).normal(size=(4, width)), index_of(index)
    out = np.full((len(index), width), 9.0)
    OPS.take_rows(x, index, out=out)
    acc, want = np.ones((4, width)), np.ones((4, width))
    OPS.add_rows(out + 1, index, acc=acc)
    for i, row in enumerate(index):
        np.testing.assert_array_equal(out[i], 0 if row == SKIPPED else x[row])
        if row != SKIPPED:
            want[row] += out[i] + 1
    np.testing.assert_allclose(acc, want)
