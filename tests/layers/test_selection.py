"""ArgMax, BatchReindex and Filter."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.selection import ArgMax, BatchReindex, Filter
from layerforge.testing import LayerTest, Rig


def ranked(row, k, min_first=False):
    order = sorted(range(len(row)), key=lambda i: (row[i], i), reverse=not min_first)[:k]
    return np.array(order), np.array([row[i] for i in order])


class TestArgMax(LayerTest):
    layer, gradient = ArgMax, False
    cases = [
        dict(),
        dict(top_k=3),
        dict(out_max_val=True),
        dict(out_max_val=True, top_k=2),
        dict(top_k=2, min_first=True),
    ]

    def inputs(self, rng):
        return [rng.integers(0, 4, size=(3, 2, 3)).astype(float)]

    def expected(self, x, top_k=1, out_max_val=False, min_first=False):
        found = [ranked(row, top_k, min_first) for row in x.reshape(3, 6)]
        return np.array([[i, v] if out_max_val else [i] for i, v in found])


class TestArgMaxAlongAxis(LayerTest):
    layer, gradient = ArgMax, False
    cases = [
        dict(axis=1),
        dict(axis=-2, top_k=3),
        dict(axis=1, top_k=2, out_max_val=True),
        dict(axis=1, top_k=2, min_first=True),
        dict(axis=1, min_first=True),
    ]

    def inputs(self, rng):
        return [rng.integers(0, 4, size=(3, 5, 2)).astype(float)]

    def expected(self, x, axis, top_k=1, out_max_val=False, min_first=False):
        y = np.empty((3, top_k, 2))
        for n, k in np.ndindex(3, 2):
            y[n, :, k] = ranked(x[n, :, k], top_k, min_first)[out_max_val]
        return y


def test_argmax_keeps_four_axes():
    assert Rig(ArgMax, {}, [np.zeros((2, 3, 4, 5))]).tops[0].shape == (2, 1, 1, 1)


def test_argmax_refuses_a_top_k_beyond_the_values():
    with pytest.raises(LayerError, match="top_k: 7, but there are 6 values"):
        Rig(ArgMax, dict(top_k=7), [np.zeros((2, 6))])


class TestBatchReindex(LayerTest):
    layer = BatchReindex

    def inputs(self, rng):
        return [rng.normal(size=(4, 2, 3)), np.array([3, 0, 3, 1.0, 3])]

    def expected(self, x, index):
        return x[index.astype(int)]


@pytest.mark.parametrize("index", [4, -1])
def test_batch_reindex_refuses_items_outside_the_batch(index):
    with pytest.raises(LayerError, match="at position 1.*the batch has 4"):
        Rig(BatchReindex, {}, [np.zeros((4, 2)), np.array([0, index])]).forward()


def test_batch_reindex_to_nothing_gives_zero_gradients():
    rig = Rig(BatchReindex, {}, [np.ones((4, 2)), np.zeros(0)])
    assert rig.forward()[0].shape == (0, 2)
    np.testing.assert_array_equal(rig.backward([np.zeros((0, 2))])[0], np.zeros((4, 2)))


def test_filter_keeps_the_rows_whose_selector_is_not_zero():
    a, b, selector = np.arange(8.0).reshape(4, 2), np.arange(4.0).reshape(4, 1, 1), np.array([0, 1, 0, -0.5])
    rig = Rig(Filter, {}, [a, b, selector], tops=2)
    first, second = rig.forward()
    np.testing.assert_array_equal(first, a[[1, 3]])
    np.testing.assert_array_equal(second, b[[1, 3]])
    da, db, _ = rig.backward([first, second])
    np.testing.assert_array_equal(da, a * [[0], [1], [0], [1]])
    np.testing.assert_array_equal(db, b * np.array([0, 1, 0, 1])[:, None, None])


def test_filter_assumes_that_all_rows_pass_before_there_are_values():
    rig = Rig(Filter, {}, [np.ones((4, 2)), np.zeros(4)], run_setup=False)
    for blob in rig.bottoms:
        blob.data.release()
    rig.step.setup()
    assert rig.tops[0].shape == (4, 2)


def test_filter_follows_its_selector():
    rig = Rig(Filter, {}, [np.ones((3, 2)), np.zeros(3)])
    assert rig.forward([np.ones((3, 2)), np.array([0, 0, 0])])[0].shape == (0, 2)
    assert (rig.backward([np.zeros((0, 2))])[0] == 0).all()
    assert rig.forward([np.ones((3, 2)), np.array([1, 1, 0])])[0].shape == (2, 2)


@pytest.mark.parametrize(
    "shapes, tops, said",
    [
        ([(4, 2), (4, 2)], 1, "the selector is"),
        ([(3, 2), (4,)], 1, "the selector has 4"),
        ([(4, 2), (4,)], 2, "need 1 tops"),
    ],
)
def test_filter_refuses_shapes(shapes, tops, said):
    with pytest.raises(LayerError, match=said):
        Rig(Filter, {}, [np.zeros(s) for s in shapes], tops=tops)
