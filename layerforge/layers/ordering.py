"""Layers that put values into another order: Permute, ShuffleChannel, Reverse."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class PermuteParams(Params, message="permute_param"):
    order: tuple[int, ...] = field(
        int, repeated=True, at_least=0, doc="the axes in their new order; those not named follow in their old one"
    )


class Permute(Layer):
    """y = x with its axes in another order

    bottom[0]  x (n_0, n_1, …)
    top[0]     y (n_order[0], n_order[1], …)

    Source: the SSD fork
    """

    type, Params = "Permute", PermuteParams

    def reshape(self, bottom, top):
        order, ndim = self.params.order, bottom[0].ndim
        self.require(len(set(order)) == len(order), f"order: {list(order)} names an axis twice", field="order")
        self.require(
            all(i < ndim for i in order), f"order: {list(order)}, but bottom[0] has {ndim} axes", field="order"
        )
        self.order = (*order, *(i for i in range(ndim) if i not in order))
        self.inverse = tuple(self.order.index(i) for i in range(ndim))
        top[0].reshape([bottom[0].shape[i] for i in self.order])

    def forward(self, bottom, top):
        self.xp.copyto(top[0].data, bottom[0].data.transpose(self.order))

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.xp.copyto(bottom[0].diff, top[0].diff.transpose(self.inverse))


class ShuffleChannelParams(Params, message="shuffle_channel_param"):
    group: int = field(int, 1, at_least=1, doc="the groups the channels are dealt from")


class ShuffleChannel(Layer):
    """y[:, i·G + g] = x[:, g·(C/G) + i]      one channel of each group in turn

    bottom[0]  x (N, C, *)      C divisible by group = G
    top[0]     y, like x

    Source: Zhang et al., "ShuffleNet", 2017
    """

    type, Params = "ShuffleChannel", ShuffleChannelParams

    def reshape(self, bottom, top):
        shape, groups = bottom[0].shape, self.params.group
        self.require(len(shape) > 1, f"bottom[0] is {shape}, must have channels")
        self.require(
            shape[1] % groups == 0,
            f"bottom[0] has {shape[1]} channels, which group: {groups} does not divide",
            field="group",
        )
        self.dealt = (shape[0], groups, shape[1] // groups, bottom[0].count(2))  # (N, G, C/G, K)
        self.collected = (shape[0], shape[1] // groups, groups, bottom[0].count(2))  # (N, C/G, G, K)
        top[0].reshape(shape)

    def forward(self, bottom, top):
        self.xp.copyto(top[0].data.reshape(self.collected), bottom[0].data.reshape(self.dealt).swapaxes(1, 2))

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.xp.copyto(bottom[0].diff.reshape(self.dealt), top[0].diff.reshape(self.collected).swapaxes(1, 2))


class ReverseParams(Params, message="reverse_param"):
    axis: tuple[int, ...] = field(int, repeated=True, doc="the axes that run backwards; negative counts from the end")


class Reverse(Layer):
    """y[…, i, …] = x[…, n-1-i, …]      along every `axis`

    bottom[0]  x of any shape
    top[0]     y, like x
    """

    type, Params = "Reverse", ReverseParams

    def reshape(self, bottom, top):
        ndim = bottom[0].ndim
        flipped = {self.axis(i, ndim) for i in self.params.axis}
        self.backwards = tuple(slice(None, None, -1) if i in flipped else slice(None) for i in range(ndim))
        top[0].reshape(bottom[0].shape)

    def forward(self, bottom, top):
        self.xp.copyto(top[0].data, bottom[0].data[self.backwards])

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.xp.copyto(bottom[0].diff, top[0].diff[self.backwards])
