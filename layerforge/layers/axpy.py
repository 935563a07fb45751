"""A channel-wise scaled sum, as squeeze-and-excitation nets have it."""

from __future__ import annotations

from layerforge.layers.base import Layer


class Axpy(Layer):
    """z[n,c] = a[n,c] · x[n,c] + y[n,c]

    bottom[0]  a (N, C), or with further axes of length 1
    bottom[1]  x (N, C, ...)
    bottom[2]  y, the shape of x
    top[0]     z, the shape of x

    Raises LayerError for shapes that do not fit, or when top[0] is a bottom.
    Source: Hu et al. 2018; SENet's axpy_layer.cpp
    """

    type = "Axpy"
    bottoms, in_place = 3, False

    def reshape(self, bottom, top):
        a, x, y = (view.shape for view in bottom)
        self.require(len(x) >= 2 and a[:2] == x[:2] and bottom[0].count() == x[0] * x[1],
                     f"bottom[0] is {a}, it needs one value for each (N, C) of bottom[1], which is {x}")
        self.require(y == x, f"bottom[2] is {y}, bottom[1] is {x}", hint="the two need one shape")
        top[0].reshape(x)
        self.rows = (1, x[0] * x[1], bottom[1].count(2))

    def forward(self, bottom, top):
        a, x, y = bottom[0].data.reshape(1, -1, 1), bottom[1].data.reshape(self.rows), bottom[2].data.reshape(self.rows)
        z = top[0].data.reshape(self.rows)
        self.xp.multiply(a, x, out=z)
        self.xp.add(z, y, out=z)

    def backward(self, top, propagate_down, bottom):
        dz = top[0].diff.reshape(self.rows)
        if propagate_down[0]:
            self.ops.channel_dot(dz, bottom[1].data.reshape(self.rows), out=bottom[0].diff.reshape(-1))
        if propagate_down[1]:
            self.xp.multiply(dz, bottom[0].data.reshape(1, -1, 1), out=bottom[1].diff.reshape(self.rows))
        if propagate_down[2]:
            self.xp.copyto(bottom[2].diff, top[0].diff)
