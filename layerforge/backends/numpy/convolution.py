"""Convolution on the host: im2col in blocks that stay in the cache, and one matrix product per block.

Columns lie sample by sample (B, G, K, P) when a sample has many positions P: the product then writes into y itself.
With few positions they lie position by position (G, K, B·P), so that the weights are read once a block and not once a
sample, at the price of one copy of the (smaller) result. K = C/group · kernel.
"""

import itertools
import math

import numpy as np
from numpy.lib.stride_tricks import as_strided

from layerforge.backends.numpy.blocks import reach
from layerforge.backends.ops.convolution import ConvolutionOps
from layerforge.core.window import Window

COLUMN_BYTES = 4 << 20  # of a block's columns: within the shared cache, large enough to amortise a call
FEW_POSITIONS = 1024  # below this, samples share one product


class _Plan:
    """Sizes of one convolution, and how its samples are cut into blocks."""

    def __init__(self, x_shape, outputs, window, group, itemsize=4, joined=None):
        self.samples, self.channels, self.ins = x_shape[0], x_shape[1], tuple(x_shape[2:])
        self.outs, self.padded = window.out_shape(self.ins), window.padded_shape(self.ins)
        self.window, self.group, self.outputs = window, group, outputs
        self.k = self.channels // group * window.count
        self.p = math.prod(self.outs)
        self.joined = self.p < FEW_POSITIONS if joined is None else joined
        per_sample = self.channels * window.count * self.p
        self.batch = max(1, min(self.samples, COLUMN_BYTES // max(1, per_sample * itemsize)))
        self.pad_count = self.batch * self.channels * math.prod(self.padded) if window.padded else 0
        self.col_count = 0 if window.pointwise and not self.joined else self.batch * per_sample
        self.out_count = self.batch * outputs * self.p if self.joined else 0

    @property
    def scratch(self):
        return self.pad_count + self.col_count + self.out_count

    def parts(self):
        """Slices of samples."""
        return (slice(a, min(a + self.batch, self.samples)) for a in range(0, self.samples, self.batch))

    def carve(self, scratch):
        """The flat scratch as (padded input, columns, outputs) for one block."""
        a, b = self.pad_count, self.pad_count + self.col_count
        pad, col, out = scratch[:a], scratch[a:b], scratch[b : b + self.out_count]
        return pad.reshape(-1, self.channels, *self.padded) if self.pad_count else None, col, out

    def inner(self, padded):
        """The part of a padded block that holds the values."""
        return padded[(..., *(slice(p, p + n) for p, n in zip(self.window.pad, self.ins)))]

    def view(self, x):
        """What each window sees, without copying: padded x (B, C, *padded) → (B, C, *kernel, *out)."""
        w, spatial = self.window, x.strides[2:]
        within, between = ((s * n for s, n in zip(spatial, steps)) for steps in (w.dilation, w.stride))
        shape = (*x.shape[:2], *w.kernel, *self.outs)
        return as_strided(x, shape, (*x.strides[:2], *within, *between), writeable=False)

    def columns(self, x, pad, col):
        """x (B, C, *in) → its columns, (B, G, K, P) or (G, K, B·P) when joined."""
        size = len(x)
        if self.window.pointwise and not self.joined:
            return x.reshape(size, self.group, self.k, self.p)
        if pad is not None:
            np.copyto(self.inner(pad[:size]), x)
            x = pad[:size]
        view = self.view(x)
        if self.joined:
            axes = len(self.ins)
            view = view.transpose(*range(1, 2 + axes), 0, *range(2 + axes, 2 + 2 * axes))
        col = col[: view.size].reshape(view.shape)
        np.copyto(col, view)
        return col.reshape((self.group, self.k, size * self.p) if self.joined else (size, self.group, self.k, self.p))

    def rows(self, y, out):
        """y (B, O, *out) → (B, G, O/G, P), or copied to (G, O/G, B·P) when joined."""
        if not self.joined:
            return y.reshape(len(y), self.group, -1, self.p)
        rows = out[: y.size].reshape(self.outputs, len(y), self.p)
        np.copyto(rows, y.reshape(len(y), self.outputs, self.p).swapaxes(0, 1))
        return rows.reshape(self.group, -1, len(y) * self.p)

    def scatter(self, col, size, target):
        """Adds the columns of `size` samples to target (B, C, *padded), kernel position by kernel position."""
        w, axes = self.window, len(self.ins)
        lead = (self.channels, *w.kernel, size) if self.joined else (size, self.channels, *w.kernel)
        col = col.reshape(*lead, *self.outs)
        if self.joined:
            col = col.transpose(1 + axes, *range(1 + axes), *range(2 + axes, 2 + 2 * axes))
        for place in itertools.product(*map(range, w.kernel)):
            spread = zip(place, w.dilation, w.stride, self.outs)
            spots = (slice(k * d, k * d + s * (n - 1) + 1, s) for k, d, s, n in spread)
            target[(..., *spots)] += col[(slice(None), slice(None), *place)]


class NumpyConvolutionOps(ConvolutionOps):
    def conv_scratch(self, x_shape, outputs, window, group=1):
        plans = [_Plan(x_shape, outputs, window, group), _Plan(x_shape, outputs, window, group, joined=True)]
        if _turns(window, x_shape[1], outputs):
            y_shape = (x_shape[0], outputs, *plans[0].outs)
            plans.append(_Plan(y_shape, x_shape[1], _turned(window), group))
        return max(plan.scratch for plan in plans)

    def conv(self, x, w, window, *, group=1, bias=None, out, scratch):
        plan = _Plan(x.shape, w.shape[0], window, group)
        pad, col, rows = plan.carve(scratch)
        if pad is not None:
            pad.fill(0)
        weights = w.reshape(group, -1, plan.k)  # (G, O/G, K)
        y = out.reshape(plan.samples, plan.outputs, plan.p)
        for part in plan.parts():
            size, col_block = part.stop - part.start, plan.columns(x[part], pad, col)
            if plan.joined:
                result = rows[: size * plan.outputs * plan.p].reshape(plan.outputs, size, plan.p)
                np.matmul(weights, col_block, out=result.reshape(group, -1, size * plan.p))
                np.add(result.swapaxes(0, 1), 0 if bias is None else bias[:, None], out=y[part])
            else:
                np.matmul(weights, col_block, out=y[part].reshape(size, group, -1, plan.p))
                if bias is not None:
                    y[part] += bias[:, None]

    def conv_data_gradient(self, dy, w, window, *, group=1, out, scratch):
        if _turns(window, out.shape[1], w.shape[0]):
            kernels = w.reshape(group, -1, *w.shape[1:])  # (G, O/G, C/G, *kernel)
            turned = np.ascontiguousarray(np.flip(kernels, range(3, kernels.ndim)).swapaxes(1, 2))
            turned = turned.reshape(out.shape[1], -1, *w.shape[2:])  # (C, O/G, *kernel)
            self.conv(dy, turned, _turned(window), group=group, out=out, scratch=scratch)
            return
        plan = _Plan(out.shape, w.shape[0], window, group)
        pad, col, rows = plan.carve(scratch)
        weights = w.reshape(group, -1, plan.k).swapaxes(1, 2)  # (G, K, O/G)
        for part in plan.parts():
            size, target = part.stop - part.start, out[part]
            gradient = plan.rows(dy[part], rows)
            if window.pointwise and not plan.joined:
                np.matmul(weights, gradient, out=target.reshape(size, group, plan.k, plan.p))
                continue
            shape = (group, plan.k, size * plan.p) if plan.joined else (size, group, plan.k, plan.p)
            col_block = col[: math.prod(shape)].reshape(shape)
            (np.multiply if plan.outputs == group else np.matmul)(weights, gradient, out=col_block)
            whole = target if pad is None else pad[:size]
            whole.fill(0)
            plan.scatter(col_block, size, whole)
            if pad is not None:
                np.copyto(target, plan.inner(whole))

    def conv_weight_gradient(self, x, dy, window, *, group=1, acc, scratch):
        plan = _Plan(x.shape, dy.shape[1], window, group, joined=True)
        pad, col, rows = plan.carve(scratch)
        if pad is not None:
            pad.fill(0)
        total = acc.reshape(group, -1, plan.k)
        for part in plan.parts():
            gradient, col_block = plan.rows(dy[part], rows), plan.columns(x[part], pad, col)
            total += np.matmul(gradient, col_block.swapaxes(1, 2))  # (G, O/G, B·P) (G, B·P, K)

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
