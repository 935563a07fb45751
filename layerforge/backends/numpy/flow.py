"""Comparing and moving planes on the host, with the channels innermost."""

import itertools

import numpy as np

from layerforge.backends.ops.flow import FlowOps


class _Windows:
    """Where the windows of a correlation lie."""

    def __init__(self, shape, out_shape, pad, kernel, reach, stride, step):
        self.pad, self.kernel, self.stride = pad, kernel, stride
        self.sizes, self.outs = shape[2:], out_shape[2:]
        self.scale = 1 / (kernel * kernel * shape[1])
        moves = range(-(reach // step) * step, reach + 1, step)
        self.moves = [(reach + v, reach + u) for v, u in itertools.product(moves, moves)]
        self.home = (reach, reach)

    def turned(self, x):
        """(N, C, H, W) → (N, H + 2 pad, W + 2 pad, C)"""
        return np.pad(x.transpose(0, 2, 3, 1), [(0, 0), (self.pad,) * 2, (self.pad,) * 2, (0, 0)])

    def inner(self, x):
        """Back to (N, C, H, W)."""
        (height, width), p = self.sizes, self.pad
        return x[:, p : p + height, p : p + width].transpose(0, 3, 1, 2)

    def places(self):
        """(displacement number, slices of a, slices of b) for every displacement and place within the window."""
        for index, move in enumerate(self.moves):
            for at in itertools.product(range(self.kernel), repeat=2):
                yield index, self._spots(self.home, at), self._spots(move, at)

    def _spots(self, start, at):
        begins = (s + k for s, k in zip(start, at))
        return (slice(None), *(slice(a, a + self.stride * (n - 1) + 1, self.stride) for a, n in zip(begins, self.outs)))


class NumpyFlowOps(FlowOps):
    def correlate(self, a, b, *, pad, kernel, reach, stride, step, subtract, out):
        windows = _Windows(a.shape, out.shape, pad, kernel, reach, stride, step)
        a, b = windows.turned(a), windows.turned(b)
        out.fill(0)
        for index, here, there in windows.places():
            if subtract:
                out[:, index] += np.abs(a[here] - b[there]).sum(axis=3)
            else:
                out[:, index] += np.einsum("nhwc,nhwc->nhw", a[here], b[there])
        out *= windows.scale

    def correlate_gradient(self, dy, a, b, *, pad, kernel, reach, stride, step, subtract, out_a, out_b):
        windows = _Windows(a.shape, dy.shape, pad, kernel, reach, stride, step)
        a, b = windows.turned(a), windows.turned(b)
        da, db = np.zeros_like(a), np.zeros_like(b)
        for index, here, there in windows.places():
            share = dy[:, index, :, :, None] * dy.dtype.type(windows.scale)
            if subtract:
                sign = share * np.sign(a[here] - b[there])
                da[here] += sign
                db[there] -= sign
            else:
                da[here] += share * b[there]
                db[there] += share * a[here]
        for out, gradient in ((out_a, da), (out_b, db)):
            if out is not None:
                np.copyto(out, windows.inner(gradient))

    def warp(self, x, flow, *, fill, out):
        inside, corners = _corners(flow)
        planes = x.transpose(0, 2, 3, 1)  # (N, H, W, C)
        total = sum(w[:, None] * planes[at] for at, w, _, _ in corners)
        out.fill(fill)
        n, p, q = np.nonzero(inside)
        out[n, :, p, q] = total

    def warp_gradient(self, dy, x, flow, *, out_x, out_flow):
        inside, corners = _corners(flow)
        n, p, q = np.nonzero(inside)
        given = dy[n, :, p, q]  # (M, C)
        if out_x is not None:
            gradient = np.zeros((x.shape[0], *x.shape[2:], x.shape[1]), x.dtype)
            for at, w, _, _ in corners:
                np.add.at(gradient, at, w[:, None] * given)
            np.copyto(out_x, gradient.transpose(0, 3, 1, 2))
        if out_flow is not None:
            planes = x.transpose(0, 2, 3, 1)
            out_flow.fill(0)
            for at, _, across, down in corners:
                dot = np.einsum("mc,mc->m", given, planes[at])
                out_flow[n, 0, p, q] += across * dot
                out_flow[n, 1, p, q] += down * dot


def _corners(flow):
    """Which places lie inside (N, H, W), and for the M of them the four neighbours:
    ((n, row, column), weight, its derivative across, its derivative down), each (M,).
    """
    height, width = flow.shape[2:]
    column = flow[:, 0] + np.arange(width, dtype=flow.dtype)
    row = flow[:, 1] + np.arange(height, dtype=flow.dtype)[:, None]
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    n, column, row = np.nonzero(inside)[0], column[inside], row[inside]
    left, top = column.astype(int), row.astype(int)
    a, b = column - left, row - top
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    return inside, [
        ((n, top, left), (1 - a) * (1 - b), b - 1, a - 1),
        ((n, top, right), a * (1 - b), 1 - b, -a),
        ((n, bottom, left), (1 - a) * b, -b, 1 - a),
        ((n, bottom, right), a * b, b, a),
    ]
