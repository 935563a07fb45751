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
    """Sizes of one convolution, how its samples are cut into blocks, and how a block is laid out.

    cuts  what is multiplied at once: ranges of the first spatial axis of y, where one sample alone fills the cache
    """

    def __init__(self, x_shape, outputs, window, group, itemsize=4):
        self.samples, self.channels, self.ins = x_shape[0], x_shape[1], tuple(x_shape[2:])
        self.outs, self.padded = window.out_shape(self.ins), window.padded_shape(self.ins)
        self.window, self.group, self.outputs = window, group, outputs
        self.k, self.p, axes = self.channels // group * window.count, math.prod(self.outs), len(self.ins)
        self.joined = self.p <= FEW_POSITIONS
        self.turn = (*range(1, 2 + axes), 0)  # (B, C, *in) → (C, *in, B)
        self.back = (1 + axes, *range(1 + axes))
        column = max(1, self.channels * window.count * self.p)
        self.batch = max(1, min(self.samples, COLUMN_BYTES // (column * itemsize)))
        lines = self.outs[0] if axes else 1
        step = lines if self.joined or window.pointwise else max(1, COLUMN_BYTES * lines // (column * itemsize))
        self.cuts = [slice(start, min(start + step, lines)) for start in range(0, lines, step)]
        self.pad_count = self.batch * self.channels * math.prod(self.padded) if window.padded or self.joined else 0
        self.col_count = 0 if window.pointwise else self.batch * column // lines * min(step, lines)
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
        lead = (self.plan.group,) if self.plan.joined else (self.size, self.plan.group)
        return array.reshape(*lead, rows, -1)

    def inner(self):
        """The part of the padded block that holds values."""
        spots = tuple(slice(p, p + n) for p, n in zip(self.plan.window.pad, self.plan.ins))
        return self.pad[(..., *spots, slice(None))] if self.plan.joined else self.pad[(..., *spots)]

    def load(self, x):
        """Takes over x[part], padded and turned as the layout wants it."""
        plan, self.x = self.plan, x[self.part]
        if self.pad is not None:
            if plan.window.padded:
                self.pad.fill(0)
            np.copyto(self.inner(), self.x.transpose(plan.turn) if plan.joined else self.x)
            self.x = self.pad

    def columns(self, cut):
        """The columns of what was loaded, for the outputs of this cut."""
        plan, w = self.plan, self.plan.window
        if w.pointwise:
            return self.flat(self.x, plan.k)
        x, first = self.x, 1 if plan.joined else 2
        last = first + len(plan.ins)
        within, between = ([s * n for s, n in zip(x.strides[first:last], steps)] for steps in (w.dilation, w.stride))
        shape = (*x.shape[:first], *w.kernel, *plan.outs, *x.shape[last:])
        strides = (*x.strides[:first], *within, *between, *x.strides[last:])
        view = as_strided(x, shape, strides, writeable=False)[(slice(None),) * last + (cut,)]
        col = self.col[: view.size].reshape(view.shape)
        np.copyto(col, view)
        return self.flat(col, plan.k)

    def rows(self, y, cut):
        """y (N, O, *out) as the matrices that go with the columns of this cut; a view of y where samples lie apart."""
        plan, y = self.plan, y[self.part]
        if plan.joined:
            turned = y.transpose(plan.turn)
            y = self.out.reshape(turned.shape)
            np.copyto(y, turned)
        elif plan.outs:
            y = y[:, :, cut]
        return self.flat(y, plan.outputs // plan.group)

    def product(self, weights, cut, bias, y):
        """y[part] = weights (G, O/G, K) · columns + bias"""
        plan, col = self.plan, self.columns(cut)
        if not plan.joined:
            out = self.rows(y, cut)
            np.matmul(weights, col, out=out)
            if bias is not None:
                out += bias.reshape(plan.group, -1, 1)
            return
        out = self.out.reshape(plan.outputs, -1)
        np.matmul(weights, col, out=self.flat(out, plan.outputs // plan.group))
        if bias is not None:
            out += bias[:, None]
        np.copyto(y[self.part], out.reshape(plan.outputs, *plan.outs, self.size).transpose(plan.back))

    def column_room(self, cut):
        """Where the columns of a cut may be written, as matrices."""
        lines = math.prod(self.plan.outs[1:]) * (cut.stop - cut.start)
        return self.flat(self.col[: self.size * self.plan.group * self.plan.k * lines], self.plan.k)

    def scatter(self, col, cut, target):
        """Adds the columns of a cut to target, kernel position by kernel position."""
        plan, w = self.plan, self.plan.window
        outs = (cut.stop - cut.start, *plan.outs[1:]) if plan.outs else ()
        if plan.joined:
            col, lead, tail = col.reshape(plan.channels, *w.kernel, *outs, self.size), 1, (slice(None),)
        else:
            col, lead, tail = col.reshape(self.size, plan.channels, *w.kernel, *outs), 2, ()
        starts = (cut.start, *(0,) * len(outs))
        for place in itertools.product(*map(range, w.kernel)):
            begins = [k * d + s * a for k, d, s, a in zip(place, w.dilation, w.stride, starts)]
            spots = (slice(a, a + s * (n - 1) + 1, s) for a, s, n in zip(begins, w.stride, outs))
            target[(..., *spots, *tail)] += col[(*(slice(None),) * lead, *place)]


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
            block.load(x)
            for cut in plan.cuts:
                block.product(weights, cut, bias, out)

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
            target = out[block.part] if block.pad is None else block.pad
            if window.pointwise:
                multiply(weights, block.rows(dy, plan.cuts[0]), out=block.flat(target, plan.k))
            else:
                target.fill(0)
                for cut in plan.cuts:
                    col = block.column_room(cut)
                    multiply(weights, block.rows(dy, cut), out=col)
                    block.scatter(col, cut, target)
            if block.pad is not None:
                inner = block.inner()
                np.copyto(out[block.part], inner.transpose(plan.back) if plan.joined else inner)

    def conv_weight_gradient(self, x, dy, window, *, group=1, acc, scratch):
        plan = _Plan(x.shape, dy.shape[1], window, group)
        total = acc.reshape(group, -1, plan.k)
        for block in plan.blocks(scratch):
            block.load(x)
            for cut in plan.cuts:
                rows, col = block.rows(dy, cut), block.columns(cut)
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
