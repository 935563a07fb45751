"""Layers that join, cut, sum, order and pick."""

import numpy as np
import pytest

from layerforge.layers.joining import Concat, Slice
from layerforge.layers.ordering import Permute, ShuffleChannel
from layerforge.layers.reduction import Reduction
from layerforge.layers.repeating import Tile
from layerforge.layers.selection import ArgMax, BatchReindex
from layerforge.layers.shaping import Split

RNG = np.random.default_rng(0)
SHAPE = (16, 64, 56, 56)


def values(shape=SHAPE):
    return RNG.normal(size=shape).astype(np.float32)


def test_concat_and_slice(bench):
    bench(Concat, {}, [values(), values()], lambda torch, a, b: torch.cat([a, b], 1), integers=())
    bench(Slice, {}, [values()], tops=2)
    bench(Tile, dict(tiles=2), [values()], lambda torch, x: x.repeat(1, 2, 1, 1))


def test_split(bench):
    bench(Split, {}, [values()], tops=3)


def test_orders(bench):
    bench(Permute, dict(order=[0, 2, 3, 1]), [values()], lambda torch, x: x.permute(0, 2, 3, 1).contiguous())
    bench(ShuffleChannel, dict(group=4), [values()], lambda torch, x: torch.nn.functional.channel_shuffle(x, 4))


@pytest.mark.parametrize("operation", ["SUM", "ASUM", "SUMSQ", "MEAN"])
def test_reduction(bench, operation):
    of = dict(
        SUM=lambda x: x.sum((2, 3)),
        ASUM=lambda x: x.abs().sum((2, 3)),
        SUMSQ=lambda x: (x * x).sum((2, 3)),
        MEAN=lambda x: x.mean((2, 3)),
    )[operation]
    bench(Reduction, dict(operation=operation, axis=2), [values()], lambda torch, x: of(x))


def test_selection(bench):
    bench(ArgMax, dict(axis=1), [values()], lambda torch, x: x.detach().argmax(1))
    bench(ArgMax, dict(axis=1, top_k=5), [values()], lambda torch, x: x.detach().topk(5, 1).values)
    rows = RNG.integers(0, 16, 16).astype(np.float32)
    bench(BatchReindex, {}, [values(), rows], lambda torch, x, i: x[i])
