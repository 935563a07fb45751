"""Position-sensitive pooling on the host by sums over rectangles: a bin costs four reads, whatever its size."""

import numpy as np

from layerforge.backends.ops.position_sensitive import PositionSensitiveOps


def _bins(first, last, bins, size, scale):
    """Start and end of every bin of one axis, (R, bins) each."""
    start, end = (np.trunc(v + np.copysign(0.5, v)) for v in (first, last))
    start, end = start * scale, (end + 1) * scale
    step = np.maximum(end - start, 0.1) / bins
    at = np.arange(bins + 1)
    low = np.floor(at[:-1] * step[:, None] + start[:, None])
    high = np.ceil(at[1:] * step[:, None] + start[:, None])
    return (np.clip(v, 0, size).astype(int) for v in (low, high))


def _corners(x_shape, y_shape, batch, regions, scale):
    """(plane, row, column, sign) of the four corners of every bin, and the bins' sizes, each (R, D, G, G)."""
    (_, channels, height, width), (_, d, g, _) = x_shape, y_shape
    box = regions[:, 1:].astype(float)
    left, right = (v[:, None, None, :] for v in _bins(box[:, 0], box[:, 2], g, width, scale))
    top, bottom = (v[:, None, :, None] for v in _bins(box[:, 1], box[:, 3], g, height, scale))
    plane = batch.astype(int)[:, None, None, None] * channels + np.arange(d * g * g).reshape(1, d, g, g)
    area = np.broadcast_to(np.maximum(bottom - top, 0) * np.maximum(right - left, 0), y_shape)
    corners = ((bottom, right, 1), (top, right, -1), (bottom, left, -1), (top, left, 1))
    return [(*np.broadcast_arrays(plane, row, column), sign) for row, column, sign in corners], area


class NumpyPositionSensitiveOps(PositionSensitiveOps):
    def ps_roi_pool(self, x, batch, regions, scale, *, out):
        corners, area = _corners(x.shape, out.shape, batch, regions, scale)
        sums = np.zeros((x.shape[0] * x.shape[1], x.shape[2] + 1, x.shape[3] + 1))  # of all above and to the left
        sums[:, 1:, 1:] = x.reshape(-1, *x.shape[2:]).cumsum(axis=1, dtype=float).cumsum(axis=2)
        total = sum(sign * sums[plane, row, column] for plane, row, column, sign in corners)
        out[...] = np.divide(total, area, out=np.zeros(out.shape), where=area > 0)

    def ps_roi_pool_gradient(self, dy, batch, regions, scale, *, out):
        corners, area = _corners(out.shape, dy.shape, batch, regions, scale)
        share = np.divide(dy, area, out=np.zeros(dy.shape), where=area > 0)
        steps = np.zeros((out.shape[0] * out.shape[1], out.shape[2] + 1, out.shape[3] + 1))
        for plane, row, column, sign in corners:  # the transpose: corners first, then sums from the far end
            np.add.at(steps, (plane, row, column), sign * share)
        whole = steps[:, ::-1, ::-1].cumsum(axis=1).cumsum(axis=2)[:, ::-1, ::-1]
        out.reshape(-1, *out.shape[2:])[...] = whole[:, 1:, 1:]
