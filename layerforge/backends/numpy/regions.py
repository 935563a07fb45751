"""Regions and places on the host."""

import numpy as np

from layerforge.backends.ops.regions import RegionOps


def _bins(first, last, count, size, dtype):
    """The places of every bin of one axis of a region, (count, longest), the last repeated; which bins are empty."""
    step = dtype.type(max(last - first + 1, 1)) / dtype.type(count)
    at = np.arange(count + 1, dtype=dtype)
    start = np.clip(np.floor(at[:-1] * step).astype(int) + first, 0, size)
    end = np.clip(np.ceil(at[1:] * step).astype(int) + first, 0, size)
    longest = max(1, int((end - start).max()))
    places = np.minimum(start[:, None] + np.arange(longest), np.maximum(end - 1, 0)[:, None])
    return np.minimum(places, size - 1), start >= end


def _first_largest(values, axis):
    """The maximum along an axis, and where it comes first: (maximum, place)."""
    best, length = values.max(axis=axis), values.shape[axis]
    code = np.zeros(best.shape, np.uint8 if length < 256 else np.int32)
    for k in range(length):
        hit = np.take(values, k, axis=axis) == best
        np.maximum(code, hit.view(np.uint8) * code.dtype.type(length - k), out=code)
    return best, np.minimum(length - code.astype(int), length - 1)


class NumpyRegionOps(RegionOps):
    def roi_pool(self, x, batch, regions, scale, *, out, index):
        (height, width), (down, across) = x.shape[2:], out.shape[2:]
        scaled = regions[:, 1:] * x.dtype.type(scale)
        corners = np.trunc(scaled + np.copysign(0.5, scaled)).astype(int)
        planes = np.ascontiguousarray(x.transpose(0, 2, 3, 1))  # (N, H, W, C): channels go along together
        for r, (left, top, right, bottom) in enumerate(corners):
            rows, no_rows = _bins(top, bottom, down, height, x.dtype)
            columns, no_columns = _bins(left, right, across, width, x.dtype)
            value, place = self._pool_region(planes[batch[r]], rows, columns)
            none = no_rows[:, None] | no_columns
            value[none], place[none] = 0, -1
            out[r], index[r] = value.transpose(2, 0, 1), place.transpose(2, 0, 1)

    @staticmethod
    def _pool_region(plane, rows, columns):
        """Along the rows of the region, then down: (largest values, their places), each (bins down, bins across, C)."""
        first = rows.min()
        strip = plane[first : rows.max() + 1]  # (h, W, C)
        across, column = _first_largest(strip[:, columns], axis=2)  # (h, J, C)
        value, row = _first_largest(across[rows - first], axis=1)  # (I, J, C)
        bins, channels = np.arange(len(columns))[:, None], np.arange(plane.shape[2])
        row = rows[np.arange(len(rows))[:, None, None], row]
        return value, row * plane.shape[1] + columns[bins, column[row - first, bins, channels]]

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
