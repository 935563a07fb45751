"""Layers that give values another shape, or share them: Flatten, Reshape, Squeeze, ExpandDimsND, Split, Silence."""

from __future__ import annotations

import math

import numpy as np

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class FlattenParams(Params, message="flatten_param"):
    axis: int = field(int, 1, doc="the first axis that is flattened")
    end_axis: int = field(int, -1, doc="the last axis that is flattened")


class Flatten(Layer):
    """y = x with the axes `axis` to `end_axis` made one

    bottom[0]  x (*outer, *axes, *inner)
    top[0]     y (*outer, product of axes, *inner)      x's own memory, data and gradient
    """

    type, Params = "Flatten", FlattenParams
    shares_data, writes_tops = True, False

    def reshape(self, bottom, top):
        p, shape = self.params, bottom[0].shape
        first = self.axis(p.axis, len(shape))
        last = self.axis(p.end_axis, len(shape), field="end_axis")
        self.require(first <= last, f"end_axis: {p.end_axis} lies before axis: {p.axis}", field="end_axis")
        top[0].reshape(*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
        top[0].share(bottom[0])

    def forward(self, bottom, top):
        pass  # the memory is shared

    def backward(self, top, propagate_down, bottom):
        pass


class NewShape(Params):
    """A shape with 0 and -1 as placeholders."""

    dim: tuple[int, ...] = field(int, repeated=True, at_least=-1, doc="the sizes, outermost first")


class ReshapeParams(Params, message="reshape_param"):
    shape: NewShape = field(
        NewShape, NewShape(), doc="the new sizes; 0 keeps the size at its place, one -1 takes what is left"
    )
    axis: int = field(int, 0, doc="the first axis that is replaced; negative counts from one past the last")
    num_axes: int = field(int, -1, at_least=-1, doc="how many axes are replaced; -1: all from axis on")
    pixelshuffler: int = field(int, 1, at_least=1, doc="above 1: the channels become squares of this side, and no more")


class Reshape(Layer):
    """y = x with the axes `axis` … `axis + num_axes - 1` replaced by `shape`

    With pixelshuffler B: y[n, c, h·B + i, w·B + j] = x[n, (c·B + i)·B + j, h, w]

    bottom[0]  x (*outer, *axes, *inner)
    top[0]     y (*outer, *shape, *inner)      x's own memory, data and gradient, unless pixels are shuffled
    """

    type, Params = "Reshape", ReshapeParams
    shares_data, writes_tops = True, False

    def setup(self, bottom, top):
        self.require(self.params.shape.dim.count(-1) <= 1, "shape holds more than one -1", field="shape")
        if self.params.pixelshuffler > 1:
            self.shares_data, self.writes_tops = False, True

    def reshape(self, bottom, top):
        if self.shares_data:
            self.share(bottom, top)
        else:
            self.shuffle(bottom, top)

    def shuffle(self, bottom, top):
        shape, b = bottom[0].shape, self.params.pixelshuffler
        self.require(
            len(shape) == 4 and shape[1] % (b * b) == 0,
            f"bottom[0] is {shape}, must be (N, C·{b * b}, H, W)",
            field="pixelshuffler",
        )
        n, c, h, w = shape[0], shape[1] // (b * b), *shape[2:]
        self.blocks, self.parts = (n, c, b, b, h, w), (n, c, h, b, w, b)
        top[0].reshape(n, c, h * b, w * b)

    def look(self, x):
        """x in the order of y, a view."""
        return x.reshape(self.blocks).transpose(0, 1, 4, 2, 5, 3)

    def share(self, bottom, top):
        p, old = self.params, bottom[0].shape
        first = self.axis(p.axis, len(old), extra=1)
        end = len(old) if p.num_axes == -1 else first + p.num_axes
        self.require(
            end <= len(old),
            f"axis: {p.axis} and num_axes: {p.num_axes} go beyond the {len(old)} axes of bottom[0]",
            field="num_axes",
        )
        for i, n in enumerate(p.shape.dim):
            self.require(
                n != 0 or first + i < len(old),
                f"shape holds a 0 for axis {first + i}, bottom[0] has {len(old)} axes",
                field="shape",
            )
        new = [old[first + i] if n == 0 else n for i, n in enumerate(p.shape.dim)]
        if -1 in new:
            hole = new.index(-1)
            replaced, known = math.prod(old[first:end]), math.prod(n for n in new if n != -1)
            self.require(
                known > 0 and replaced % known == 0,
                f"the {replaced} values of {old[first:end]} cannot be divided into rows of {known}",
                field="shape",
            )
            new[hole] = replaced // known
        shape = (*old[:first], *new, *old[end:])
        self.require(
            math.prod(shape) == math.prod(old), f"bottom[0] is {old}, which does not fit into {shape}", field="shape"
        )
        top[0].reshape(shape)
        top[0].share(bottom[0])

    def forward(self, bottom, top):
        if not self.shares_data:
            self.xp.copyto(top[0].data.reshape(self.parts), self.look(bottom[0].data))

    def backward(self, top, propagate_down, bottom):
        if not self.shares_data and propagate_down[0]:
            self.xp.copyto(self.look(bottom[0].diff), top[0].diff.reshape(self.parts))


class SqueezeParams(Params, message="squeeze_param"):
    axis: tuple[int, ...] = field(int, repeated=True, doc="the axes of size 1 to drop; without: all of them")


class Squeeze(Flatten):
    """y = x without axes of size 1

    bottom[0]  x of any shape
    top[0]     y      x's own memory, data and gradient
    """

    type, Params = "Squeeze", SqueezeParams

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        dropped = {self.axis(i, len(shape)) for i in self.params.axis} or {i for i, n in enumerate(shape) if n == 1}
        self.require(
            all(shape[i] == 1 for i in dropped), f"axis: {sorted(dropped)}, but bottom[0] is {shape}", field="axis"
        )
        top[0].reshape([n for i, n in enumerate(shape) if i not in dropped])
        top[0].share(bottom[0])


class ExpandDimsNDParams(Params, message="expand_dims_nd_param"):
    axis: tuple[int, ...] = field(
        int, repeated=True, doc="where the new axes stand in the top; negative counts from its end"
    )


class ExpandDimsND(Flatten):
    """y = x with new axes of size 1

    bottom[0]  x of any shape
    top[0]     y      x's own memory, data and gradient
    """

    type, Params = "ExpandDimsND", ExpandDimsNDParams

    def reshape(self, bottom, top):
        ndim = bottom[0].ndim + len(self.params.axis)
        new = {self.axis(i, ndim) for i in self.params.axis}
        self.require(
            len(new) == len(self.params.axis), f"axis: {list(self.params.axis)} names an axis twice", field="axis"
        )
        old = iter(bottom[0].shape)
        top[0].reshape([1 if i in new else next(old) for i in range(ndim)])
        top[0].share(bottom[0])


class Shape(Layer):
    """y = the sizes of x's axes

    bottom[0]  x of any shape
    top[0]     y (number of axes of x,)
    """

    type = "Shape"
    no_gradient = (0,)

    def reshape(self, bottom, top):
        self.sizes = self.constant(np.array(bottom[0].shape))
        top[0].reshape(bottom[0].ndim)

    def forward(self, bottom, top):
        self.xp.copyto(top[0].data, self.sizes.data)


class Split(Layer):
    """y_i = x      dx = Σ_i dy_i      (the net puts it where several layers read one blob)

    bottom[0]  x of any shape
    top[i]     y_i, like x      x's own memory; each has its own gradient
    """

    type = "Split"
    tops = (1, None)
    in_place, shares_data, writes_tops = False, True, False

    def reshape(self, bottom, top):
        for y in top:
            y.reshape(bottom[0].shape)
            y.blob.share_data(bottom[0].blob)

    def forward(self, bottom, top):
        pass  # the memory is shared

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        dx = bottom[0].diff
        if len(top) == 1:
            self.xp.copyto(dx, top[0].diff)
            return
        self.xp.add(top[0].diff, top[1].diff, out=dx)
        for y in top[2:]:
            self.xp.add(dx, y.diff, out=dx)


class Silence(Layer):
    """Reads its bottoms so that they are no outputs of the net      dx_i = 0

    bottom[i]  of any shape
    """

    type = "Silence"
    bottoms, tops = (1, None), 0

    def reshape(self, bottom, top):
        pass  # no tops

    def forward(self, bottom, top):
        pass

    def backward(self, top, propagate_down, bottom):
        for x, wanted in zip(bottom, propagate_down):
            if wanted:
                x.diff.fill(0)
