"""Pooling on the host: first along the rows, then along the columns: kh + kw passes for a window, not kh · kw."""

import numpy as np

from layerforge.backends.numpy.blocks import blocks, reach
from layerforge.backends.ops.pooling import PoolingOps


def _places(window, axis, size, outputs):
    """(kernel offset k, outputs it reaches, places it reads) along one spatial axis."""
    pad, stride = window.pad[axis], window.stride[axis]
    return [(k, *reach(k - pad, stride, size, outputs)) for k in range(window.kernel[axis])]


def _planes(*arrays):
    """(N, C, H, W) → (N·C, H, W)"""
    return [a.reshape(-1, *a.shape[2:]) for a in arrays]


def _sizes(window, axis, size, outputs, count_padding):
    """How many values each output of an axis is divided by."""
    start = np.arange(outputs) * window.stride[axis] - window.pad[axis]
    end = np.minimum(start + window.kernel[axis], size + window.pad_end[axis])
    inside = np.minimum(end, size) - np.maximum(start, 0)
    return np.maximum(end - start if count_padding else inside, 1)


class NumpyPoolingOps(PoolingOps):
    def max_pool(self, x, window, *, out, index=None):
        (x, y), (height, width), (rows, cols) = _planes(x, out), x.shape[2:], out.shape[2:]
        across, down = _places(window, 1, width, cols), _places(window, 0, height, rows)
        lowest = np.finfo(x.dtype).min
        for part in blocks(len(x), 2 * x[:1].nbytes):
            ys, seen = y[part], list(_columns(x[part], across, window.stride[1]))
            rowmax = np.full((len(ys), height, cols), lowest, x.dtype)  # (B, H, Wo)
            for _, p, values in seen:
                np.fmax(rowmax[..., p], values, out=rowmax[..., p])
            ys.fill(lowest)
            for _, p, place in down:
                np.fmax(ys[:, p], rowmax[:, place], out=ys[:, p])
            if index is not None:
                codes = self._codes(seen, rowmax, ys, down)
                _decode(codes, window, width, out=index.reshape(y.shape)[part])
                if (ys == lowest).any():
                    index.reshape(y.shape)[part][ys == lowest] = -1

    @staticmethod
    def _codes(seen, rowmax, y, down):
        """(kh - i)(kw + 1) + kw - j for the first place (i, j) of the window that holds the maximum, 0 for none.

        The first place has the largest code, so the passes need no masks: masked copies are ten times slower.
        """
        kh, kw = len(down), len(seen)
        small = np.uint8 if (kh + 1) * (kw + 1) < 256 else np.int32
        column = np.zeros(rowmax.shape, small)  # kw - j
        for j, p, values in seen:
            hit = (values == rowmax[..., p]).view(np.uint8) * small(kw - j)
            np.maximum(column[..., p], hit, out=column[..., p])
        code = np.zeros(y.shape, small)
        for i, p, place in down:
            hit = (rowmax[:, place] == y[:, p]).view(np.uint8) * (column[:, place] + small((kh - i) * (kw + 1)))
            np.maximum(code[:, p], hit, out=code[:, p])
        return code

    def max_pool_gradient(self, dy, index, window, *, out):
        planes, size = out.shape[0] * out.shape[1], out.shape[2] * out.shape[3]
        dx, dy, index = (a.reshape(planes, a.shape[2] * a.shape[3]) for a in (out, dy, index.reshape(dy.shape)))
        for part in blocks(len(dx), 2 * dx[:1].nbytes):
            target, where, value = dx[part], index[part], dy[part]
            target.fill(0)
            flat = where + np.arange(0, target.size, size)[:, None]  # (B, Ho·Wo), 64 bits
            if where.size and where.min() < 0:
                flat, value = flat[where >= 0], value[where >= 0]
            np.add.at(target.reshape(-1), flat.reshape(-1), value.reshape(-1))

    def average_pool(self, x, window, *, out, count_padding=True):
        size = self._window_sizes(window, x.shape, out.shape, count_padding, x.dtype)
        (x, y), (height, width), (rows, cols) = _planes(x, out), x.shape[2:], out.shape[2:]
        if window.kernel == (height, width) and rows == cols == 1 and not window.padded:
            np.sum(x.reshape(len(x), -1), axis=1, out=y.reshape(-1))
        else:
            across, down = _places(window, 1, width, cols), _places(window, 0, height, rows)
            for part in blocks(len(x), 2 * x[:1].nbytes):
                _sum_windows(x[part], y[part], across, down)
        y /= size

    def average_pool_gradient(self, dy, window, *, out, count_padding=True):
        size = self._window_sizes(window, out.shape, dy.shape, count_padding, dy.dtype)
        (dx, dy), (height, width), (rows, cols) = _planes(out, dy), out.shape[2:], dy.shape[2:]
        if window.kernel == (height, width) and rows == cols == 1 and not window.padded:
            dx[...] = dy / size
            return
        across, down = _places(window, 1, width, cols), _places(window, 0, height, rows)
        for part in blocks(len(dx), 2 * dx[:1].nbytes):
            share = dy[part] / size
            column = np.zeros((len(share), height, cols), dy.dtype)  # (B, H, Wo)
            for _, p, place in down:
                column[:, place] += share[:, p]
            target = dx[part]
            target.fill(0)
            for _, p, place in across:
                target[..., place] += column[..., p]

    @staticmethod
    def _window_sizes(window, x_shape, y_shape, count_padding, dtype):
        down, across = (_sizes(window, a, x_shape[2 + a], y_shape[2 + a], count_padding) for a in (0, 1))
        return np.outer(down, across).astype(dtype)  # (Ho, Wo)

    def stochastic_pool(self, x, window, uniform, *, out, index):
        (x, y, u, index), (height, width), (rows, cols) = _planes(x, out, uniform, index), x.shape[2:], out.shape[2:]
        across, down = _places(window, 1, width, cols), _places(window, 0, height, rows)
        kh, kw = window.kernel
        row, col = np.arange(rows)[:, None] * window.stride[0], np.arange(cols) * window.stride[1]
        for part in blocks(len(x), 2 * x[:1].nbytes):
            xs = x[part]
            total = np.empty(y[part].shape, x.dtype)
            _sum_windows(xs, total, across, down)
            total *= u[part]  # the threshold
            running, highest = np.zeros_like(total), np.full_like(total, -np.inf)
            passed = np.zeros(total.shape, np.int32)  # places before the one drawn
            for _, p, rows_read in down:
                for _, q, cols_read in across:
                    running[:, p, q] += xs[:, rows_read, cols_read]
                    np.maximum(highest, running, out=highest)
                    passed += highest < total
            i, j = np.divmod(np.minimum(passed, kh * kw - 1), kw)
            place = np.minimum(row + i, height - 1) * width + np.minimum(col + j, width - 1)
            index[part] = place
            flat = xs.reshape(len(xs), -1)
            y[part] = np.take_along_axis(flat, place.reshape(len(xs), -1), axis=1).reshape(place.shape)

    def weighted_pool(self, x, window, *, out):
        (x, y), (height, width), (rows, cols) = _planes(x, out), x.shape[2:], out.shape[2:]
        across, down = _places(window, 1, width, cols), _places(window, 0, height, rows)
        for part in blocks(len(x), 3 * x[:1].nbytes):
            xs, ys = x[part], y[part]
            total = np.empty_like(ys)
            _sum_windows(xs, total, across, down)
            _sum_windows(xs * xs, ys, across, down)
            positive = total > 0
            np.divide(ys, total, out=ys, where=positive)
            ys *= positive


def _columns(x, across, stride):
    """(kernel offset, outputs it reaches, values it reads) along the rows of x (B, H, W).

    With a stride, x is parted into its columns 0, s, 2s, …, then 1, s + 1, …: each is read more than once.
    """
    parts = [np.ascontiguousarray(x[..., first::stride]) for first in range(stride)] if stride > 1 else [x]
    for j, p, place in across:
        skipped, part = divmod(place.start, stride)
        yield j, p, parts[part][..., skipped : skipped + p.stop - p.start]


def _sum_windows(x, out, across, down):
    """out = the sum of each window's values inside the plane; x (B, H, W), out (B, Ho, Wo)."""
    row = np.zeros((*x.shape[:2], out.shape[2]), x.dtype)  # (B, H, Wo)
    for _, p, place in across:
        row[..., p] += x[..., place]
    out.fill(0)
    for _, p, place in down:
        out[:, p] += row[:, place]


def _decode(code, window, width, *, out):
    """Codes of windows → places in the plane; code 0 gives a place that the caller overwrites."""
    (kh, kw), cols, rows = window.kernel, np.arange(code.shape[2]), np.arange(code.shape[1])
    row, column = np.divmod(np.arange((kh + 1) * (kw + 1)), kw + 1)
    table = ((kh - row) * width + kw - column).astype(np.int32)
    np.take(table, code, out=out, mode="clip")
    start = (rows * window.stride[0] - window.pad[0])[:, None] * width + cols * window.stride[1] - window.pad[1]
    out += start.astype(np.int32)
