"""Layers that repeat values: Tile, TileND, BroadcastTo."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class Repeated(Layer):
    """Base of layers that repeat values: x seen as `source` is spread over y seen as `target`, dx sums over copies."""

    def forward(self, bottom, top):
        self.xp.copyto(top[0].data.reshape(self.target), bottom[0].data.reshape(self.source))

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            spread = tuple(i for i, (a, b) in enumerate(zip(self.source, self.target)) if a != b)
            dy, dx = top[0].diff.reshape(self.target), bottom[0].diff.reshape(self.source)
            self.xp.sum(dy, axis=spread, keepdims=True, out=dx)


class TileParams(Params, message="tile_param"):
    axis: int = field(int, 1, doc="the axis that is repeated; negative counts from the end")
    tiles: int = field(int, required=True, at_least=1, doc="how often")


class Tile(Repeated):
    """y = x ⧺ x ⧺ … (`tiles` times)      along `axis`

    bottom[0]  x (*outer, n, *inner)
    top[0]     y (*outer, tiles · n, *inner)
    """

    type, Params = "Tile", TileParams

    def reshape(self, bottom, top):
        shape, tiles = bottom[0].shape, self.params.tiles
        along = self.axis(self.params.axis, len(shape))
        top[0].reshape(*shape[:along], shape[along] * tiles, *shape[along + 1 :])
        outer, inner = bottom[0].count(0, along), bottom[0].count(along)
        self.source, self.target = (outer, 1, inner), (outer, tiles, inner)


class TileNDParams(Params, message="tile_nd_param"):
    multiples: tuple[int, ...] = field(int, repeated=True, at_least=1, doc="how often, per axis")


class TileND(Repeated):
    """y = x repeated multiples[i] times along axis i

    bottom[0]  x (n_0, n_1, …)
    top[0]     y (m_0 · n_0, m_1 · n_1, …)
    """

    type, Params = "TileND", TileNDParams

    def reshape(self, bottom, top):
        shape, m = bottom[0].shape, self.params.multiples
        self.require(len(m) == len(shape), f"multiples has {len(m)} values, bottom[0] is {shape}", field="multiples")
        self.source = [size for n in shape for size in (1, n)]
        self.target = [size for n, times in zip(shape, m) for size in (times, n)]
        top[0].reshape([n * times for n, times in zip(shape, m)])


class BroadcastToParams(Params, message="broadcast_to_param"):
    shape: tuple[int, ...] = field(int, repeated=True, at_least=0, doc="the new shape; sizes of 1 are repeated")


class BroadcastTo(Repeated):
    """y = x, its axes of size 1 repeated, new axes in front

    bottom[0]  x (*tail), each size that of `shape` or 1
    top[0]     y (*shape)
    """

    type, Params = "BroadcastTo", BroadcastToParams

    def reshape(self, bottom, top):
        shape, target = bottom[0].shape, self.params.shape
        self.source, self.target = (1,) * (len(target) - len(shape)) + shape, target
        fits = len(self.source) == len(target) and all(a in (1, b) for a, b in zip(self.source, target))
        self.require(fits, f"bottom[0] is {shape}, which cannot be repeated to {target}", field="shape")
        top[0].reshape(target)
