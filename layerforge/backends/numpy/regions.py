"""Regions and places on the host."""

import numpy as np

from layerforge.backends.ops.regions import RegionOps


def _bins(first, last, count, size, dtype):
    """Start and end of every bin of one axis of one region."""
    step = dtype.type(max(last - first + 1, 1)) / dtype.type(count)
    at = np.arange(count + 1, dtype=dtype)
    start = np.floor(at[:-1] * step).astype(int) + first
    end = np.ceil(at[1:] * step).astype(int) + first
    return list(zip(np.clip(start, 0, size), np.clip(end, 0, size)))


class NumpyRegionOps(RegionOps):
    def roi_pool(self, x, batch, regions, scale, *, out, index):
        (height, width), (down, across) = x.shape[2:], out.shape[2:]
        scaled = regions[:, 1:] * x.dtype.type(scale)
        corners = np.trunc(scaled + np.copysign(0.5, scaled)).astype(int)
        for r, (left, top, right, bottom) in enumerate(corners):
            rows = _bins(top, bottom, down, height, x.dtype)
            columns = _bins(left, right, across, width, x.dtype)
            self._pool_region(x[batch[r]], rows, columns, out[r], index[r])

    @staticmethod
    def _pool_region(plane, rows, columns, out, index):
        """Row by row within each column of bins, then over the rows of each bin; plane (C, H, W)."""
        width = plane.shape[2]
        out.fill(0)
        index.fill(-1)
        for j, (left, right) in enumerate(columns):
            if left >= right:
                continue
            seen = plane[:, :, left:right]
            column = seen.argmax(axis=2)  # (C, H), the first of equals
            value = np.take_along_axis(seen, column[:, :, None], axis=2)[:, :, 0]
            for i, (top, bottom) in enumerate(rows):
                if top < bottom:
                    row = value[:, top:bottom].argmax(axis=1)[:, None] + top  # (C, 1)
                    out[:, i, j] = np.take_along_axis(value, row, axis=1)[:, 0]
                    index[:, i, j] = (row * width + np.take_along_axis(column, row, axis=1) + left)[:, 0]

    def roi_pool_gradient(self, dy, batch, index, *, out):
        channels, plane = out.shape[1], out.shape[2] * out.shape[3]
        out.fill(0)
        start = (batch.astype(np.int64)[:, None] * channels + np.arange(channels)) * plane  # (R, C)
        places, found = start[:, :, None, None] + index, index >= 0
        np.add.at(out.reshape(-1), places[found], dy[found])

    def unpool(self, x, index, *, out):
        out.fill(0)
        places, found = self._places(index, out), index >= 0
        out.reshape(-1)[places[found]] = x[found]

    def unpool_gradient(self, dy, index, *, out):
        places, found = self._places(index, dy), index >= 0
        np.take(dy.reshape(-1), np.where(found, places, 0), out=out, mode="clip")
        out *= found

    @staticmethod
    def _places(index, planes):
        size = planes.shape[2] * planes.shape[3]
        count = planes.shape[0] * planes.shape[1]
        return index + (np.arange(count) * size).reshape(*planes.shape[:2], 1, 1)
