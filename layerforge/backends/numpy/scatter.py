"""Picking and adding by index on the host."""

import numpy as np

from layerforge.backends.ops.scatter import SKIPPED, ScatterOps

WIDE = 1024  # a row of this many values is work enough for a call


class NumpyScatterOps(ScatterOps):
    def to_index(self, values, size, *, out, ignore=None):
        with np.errstate(invalid="ignore"):  # NaN becomes the lowest int32, which is out of range
            np.copyto(out, values, casting="unsafe")
        bad = (out < 0) | (out >= size)
        if ignore is not None:
            skipped = out == ignore
            bad &= ~skipped
            out[skipped] = SKIPPED
        return int(bad.argmax()) if bad.any() else None

    def select(self, x, index, *, out, fill=0.0):
        n, k = index.shape
        x = np.broadcast_to(x, (n, x.shape[1], k))
        out[...] = np.take_along_axis(x, np.maximum(index, 0)[:, None], axis=1)[:, 0]
        out[index < 0] = fill

    def add_selected(self, values, index, *, acc):
        rows, columns = np.nonzero(index >= 0)
        acc[rows, index[rows, columns], columns] += values[rows, columns]

    def take_rows(self, x, index, *, out):
        np.take(x, index, axis=0, out=out, mode="clip")  # without "clip" NumPy writes through a copy
        out[index < 0] = 0

    def add_rows(self, values, index, *, acc):
        if values.shape[1] == 1:
            used = index >= 0
            acc[:, 0] += np.bincount(index[used], values[used, 0], minlength=len(acc))
            return
        if values.shape[1] >= WIDE:
            for row, value in zip(index, values):
                if row >= 0:
                    acc[row] += value
            return
        order = np.argsort(index, kind="stable")
        order = order[np.searchsorted(index, 0, sorter=order) :]  # skipped ones come first
        if order.size == 0:
            return
        ordered = index[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        acc[ordered[starts]] += np.add.reduceat(values[order], starts, axis=0)
