"""Convolution on the host: im2col in blocks that stay in the cache, and one matrix product per block.

With K = C/group · kernel, P positions of the window and B samples in a block, columns lie
  apart   (B, G, K, P), where P is large: the product reads and writes x and y as they are
  joined  (G, K, P·B), where P is small: the samples are innermost, so that the columns are copied in long runs and the
          weights are read once a block; x and y are turned over on the way in and out
"""

import itertools
import math

import numpy as np
from numpy.lib.stride_tricks import as_strided

from layerforge.backends.numpy.blocks import reach
from layerforge.backends.ops.convolution import ConvolutionOps
from layerforge.core.window import Window

COLUMN_BYTES = 4 << 20  # of a block's columns: within the shared cache, large enough to amortise a call
FEW_POSITIONS = 512  # up to here samples are joined
FEW_OUTPUTS = 128  # up to here BLAS makes the transpose of a weight gradient up to twice as fast as the gradient itself


class _Plan:
    """Sizes of one convolution, how its samples are cut into blocks, and how a block is laid out."""

    def __init__(self, x_shape, outputs, window, group, itemsize=4):
        self.samples, self.channels, self.ins = x_shape[0], x_shape[1], tuple(x_shape[2:])
        self.outs, self.padded = window.out_shape(self.ins), window.padded_shape(self.ins)
        self.window, self.group, self.outputs = window, group, outputs
        self.k, self.p, axes = self.channels // group * window.count, math.prod(self.outs), len(self.ins)
        self.joined = self.p <= FEW_POSITIONS
        self.turn = (*range(1, 2 + axes), 0)  # (B, C, *in) → (C, *in, B)
        self.back = (1 + axes, *range(1 + axes))
        column = self.channels * window.count * self.p
        self.batch = max(1, min(self.samples, COLUMN_BYTES // max(1, column * itemsize)))
        self.pad_count = self.batch * self.channels * math.prod(self.padded) if window.padded or self.joined else 0
        self.col_count = 0 if window.pointwise else self.batch * column
        self.out_count = self.batch * outputs * self.p if self.joined else 0

    @property
    def scratch(self):
        return self.pad_count + self.col_count + self.out_count

    def blocks(self, scratch):
        """A _Block for each slice of the samples."""
        cuts = itertools.accumulate((self.pad_count, self.col_count, self.out_count), initial=0)
        parts = [scratch[a:b] for a, b in itertools.pairwise(cuts)]
        for start in range(0, self.samples, self.batch):
            yield _Block(self, slice(start, min(start + self.batch, self.samples)), *parts)


class _Block:
    """Some samples and their share of the scratch."""

    def __init__(self, plan, part, pad, col, out):
        self.plan, self.part, self.size = plan, part, part.stop - part.start
        shape = (self.size, plan.channels, *plan.padded)
        if plan.joined:
            shape = tuple(shape[axis] for axis in plan.turn)
        self.pad = pad[: math.prod(shape)].reshape(shape) if plan.pad_count else None
        self.col, self.out = col, out[: self.size * plan.outputs * plan.p]

    def flat(self, array, rows):
        """The columns (rows K) or results (rows O/G) of a block as matrices."""
        plan = self.plan
        return array.reshape((plan.group, rows, -1) if plan.joined else (self.size, plan.group, rows, plan.p))

    def inner(self):
        """The part of the padded block that holds values."""
        spots = tuple(slice(p, p + n) for p, n in zip(self.plan.window.pad, self.plan.ins))
        return self.pad[(..., *spots, slice(None))] if self.plan.joined else self.pad[(..., *spots)]

    def view(self, x):
        """What each window sees, without copying: (B, C, *kernel, *out), or (C, *kernel, *out, B)."""
        plan, w, first = self.plan, self.plan.window, 1 if self.plan.joined else 2
        spatial, last = x.strides[first : first + len(plan.ins)], x.ndim - (1 if plan.joined else 0)
        within, between = ((s * n for s, n in zip(spatial, steps)) for steps in (w.dilation, w.stride))
        shape = (*x.shape[:first], *w.kernel, *plan.outs, *x.shape[last:])
        strides = (*x.strides[:first], *within, *between, *x.strides[last:])
        return as_strided(x, shape, strides, writeable=False)

    def columns(self, x):
        """The columns of x (N, C, *in)."""
        plan, x = self.plan, x[self.part]
        if self.pad is not None:
            if plan.window.padded:
                self.pad.fill(0)
            np.copyto(self.inner(), x.transpose(plan.turn) if plan.joined else x)
            x = self.pad
        if plan.window.pointwise:
            return self.flat(x, plan.k)
        view = self.view(x)
        col = self.col[: view.size].reshape(view.shape)
        np.copyto(col, view)
        return self.flat(col, plan.k)

    def rows(self, y):
        """y (N, O, *out) as the matrices that go with columns."""
        plan, y = self.plan, y[self.part]
        if plan.joined:
            turned = y.transpose(plan.turn)
            y = self.out.reshape(turned.shape)
            np.copyto(y, turned)
        return self.flat(y, plan.outputs // plan.group)

    def product(self, weights, col, bias, y):
        """y[part] = weights (G, O/G, K) · columns + bias"""
        plan = self.plan
        if not plan.joined:
            y = y[self.part].reshape(self.size, plan.outputs, plan.p)
            np.matmul(weights, col, out=self.flat(y, plan.outputs // plan.group))
            if bias is not None:
                y += bias[:, None]
            return
        out = self.out.reshape(plan.outputs, -1)
        np.matmul(weights, col, out=self.flat(out, plan.outputs // plan.group))
        if bias is not None:
            out += bias[:, None]
        np.copyto(y[self.part], out.reshape(plan.outputs, *plan.outs, self.size).transpose(plan.back))

    def scatter(self, col, dx):
        """dx[part] = the sums of what the columns hold of each place, added up kernel position by kernel position."""
        plan, w = self.plan, self.plan.window
        target = dx[self.part] if self.pad is None else self.pad
        target.fill(0)
        if plan.joined:
            col, lead, tail = col.reshape(plan.channels, *w.kernel, *plan.outs, self.size), 1, (slice(None),)
        else:
            col, lead, tail = col.reshape(self.size, plan.channels, *w.kernel, *plan.outs), 2, ()
        for place in itertools.product(*map(range, w.kernel)):
            spread = zip(place, w.dilation, w.stride, plan.outs)
            spots = (slice(k * d, k * d + s * (n - 1) + 1, s) for k, d, s, n in spread)
            target[(..., *spots, *tail)] += col[(*(slice(None),) * lead, *place)]
        if self.pad is not None:
            inner = self.inner()
            np.copyto(dx[self.part], inner.transpose(plan.back) if plan.joined else inner)


class NumpyConvolutionOps(ConvolutionOps):
    def conv_scratch(self, x_shape, outputs, window, group=1):
        plan = _Plan(x_shape, outputs, window, group)
        if not _turns(window, x_shape[1], outputs):
            return plan.scratch
        back = _Plan((x_shape[0], outputs, *plan.outs), x_shape[1], _turned(window), group)
        return max(plan.scratch, back.scratch)

    def conv(self, x, w, window, *, group=1, bias=None, out, scratch):
        plan = _Plan(x.shape, w.shape[0], window, group)
        weights = w.reshape(group, -1, plan.k)
        for block in plan.blocks(scratch):
            block.product(weights, block.columns(x), bias, out)

    def conv_data_gradient(self, dy, w, window, *, group=1, out, scratch):
        if _turns(window, out.shape[1], w.shape[0]):
            kernels = w.reshape(group, -1, *w.shape[1:])  # (G, O/G, C/G, *kernel)
            turned = np.ascontiguousarray(np.flip(kernels, range(3, kernels.ndim)).swapaxes(1, 2))
            turned = turned.reshape(out.shape[1], -1, *w.shape[2:])  # (C, O/G, *kernel)
            self.conv(dy, turned, _turned(window), group=group, out=out, scratch=scratch)
            return
        plan = _Plan(out.shape, w.shape[0], window, group)
        weights = w.reshape(group, -1, plan.k).swapaxes(1, 2)  # (G, K, O/G)
        multiply = np.multiply if plan.outputs == group else np.matmul  # a sum over one channel is none
        for block in plan.blocks(scratch):
            if not window.pointwise:
                store = block.col[: block.size * plan.group * plan.k * plan.p]
            else:
                store = block.pad if plan.joined else out[block.part]
            col = block.flat(store, plan.k)
            multiply(weights, block.rows(dy), out=col)
            if not window.pointwise:
                block.scatter(col, out)
            elif plan.joined:
                np.copyto(out[block.part], block.pad.transpose(plan.back))

    def conv_weight_gradient(self, x, dy, window, *, group=1, acc, scratch):
        plan = _Plan(x.shape, dy.shape[1], window, group)
        total = acc.reshape(group, -1, plan.k)
        for block in plan.blocks(scratch):
            rows, col = block.rows(dy), block.columns(x)
            if plan.outputs <= FEW_OUTPUTS * group:
                product = np.matmul(col, rows.swapaxes(-1, -2)).swapaxes(-1, -2)
            else:
                product = np.matmul(rows, col.swapaxes(-1, -2))
            total += product if plan.joined else product.sum(axis=0)

    def im2col(self, x, window, *, out):
        outs = window.out_shape(x.shape[2:])
        col = out.reshape(*x.shape[:2], *window.kernel, *outs)
        if window.padded:
            col.fill(0)
        for place, p, source in _reaches(window, x.shape[2:], outs):
            col[(slice(None), slice(None), *place, *p)] = x[(slice(None), slice(None), *source)]

    def col2im(self, col, window, *, out):
        outs = window.out_shape(out.shape[2:])
        col = col.reshape(*out.shape[:2], *window.kernel, *outs)
        out.fill(0)
        for place, p, target in _reaches(window, out.shape[2:], outs):
            out[(slice(None), slice(None), *target)] += col[(slice(None), slice(None), *place, *p)]


def _turns(window, channels, outputs):
    """Whether the data gradient is better a convolution of dy with the turned kernel: reading columns is cheaper than
    adding them up, unless dy has more channels than x.
    """
    return (
        not window.pointwise
        and all(s == 1 for s in window.stride)
        and all(p < e and q < e for p, q, e in zip(window.pad, window.pad_end, window.extent))
        and outputs <= channels
    )


def _turned(window):
    """The window that goes back from the outputs of a stride of 1 to its inputs."""
    rest = [tuple(e - 1 - p for e, p in zip(window.extent, pad)) for pad in (window.pad, window.pad_end)]
    return Window.make(window.kernel, window.stride, rest[0], window.dilation, rest[1])


def _reaches(window, sizes, outs):
    """(kernel position, outputs it reaches, places it reads) for every kernel position."""
    for place in itertools.product(*map(range, window.kernel)):
        offsets = (k * d - p for k, d, p in zip(place, window.dilation, window.pad))
        pairs = [reach(*each) for each in zip(offsets, window.stride, sizes, outs)]
        yield place, tuple(p for p, _ in pairs), tuple(q for _, q in pairs)
