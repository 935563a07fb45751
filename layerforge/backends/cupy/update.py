"""Update rules in CUDA C, one pass over each parameter."""

import numpy as np

from layerforge.backends.cupy.kernels import blocks
from layerforge.backends.cupy.sums import sum_channels
from layerforge.backends.ops.update import UpdateOps


class CupyUpdateOps(UpdateOps):
    def sum_of_squares(self, arrays):
        self.kernels.must_not_record("the sum of squares is read on the host")
        total = self.xp.zeros(1, np.float64)
        for x in arrays:
            if x.size:
                sum_channels(self.kernels, x, x, (1, 1, x.size), out=total, add=True)
        return float(total[0])

    def update_sgd(self, w, g, h, *, lr, momentum, scale=1.0, l2=0.0, l1=0.0):
        _move(self.kernels, "sgd", (w, g, h), lr, momentum, scale, l2, l1)

    def update_lars(self, w, g, h, *, lr, momentum, eta, clip=False, scale=1.0, l2=0.0, l1=0.0):
        if not w.size:
            return
        norms, made = self.kernels.keep("norms", 2), self.kernels.keep("LARS", 5)
        for i, x in enumerate((w, g)):
            sum_channels(self.kernels, x, x, (1, 1, x.size), out=norms[i : i + 1], add=False)
        row, values = self.kernels.changing(np.float64, (lr, momentum, scale, l2, l1))
        fixed, control = (np.float64(eta), int(clip)), self.kernels.control
        self.kernels.launch("update.cu", "lars_row", 1, made, norms, *fixed, row, *values, control)
        self.kernels.launch("update.cu", "sgd", blocks(w.size), w, g, h, w.size, made, *values, control, dtype=w.dtype)

    def update_nesterov(self, w, g, h, *, lr, momentum, scale=1.0, l2=0.0, l1=0.0):
        _move(self.kernels, "nesterov", (w, g, h), lr, momentum, scale, l2, l1)

    def update_adagrad(self, w, g, h, *, lr, delta, scale=1.0, l2=0.0, l1=0.0):
        _move(self.kernels, "adagrad", (w, g, h), lr, delta, scale, l2, l1)

    def update_rmsprop(self, w, g, h, *, lr, decay, delta, scale=1.0, l2=0.0, l1=0.0):
        _move(self.kernels, "rmsprop", (w, g, h), lr, decay, delta, scale, l2, l1)

    def update_adadelta(self, w, g, h, u, *, lr, decay, delta, scale=1.0, l2=0.0, l1=0.0):
        _move(self.kernels, "adadelta", (w, g, h, u), lr, decay, delta, scale, l2, l1)

    def update_adam(
        self, w, g, m, v, *, lr, correction, beta1, beta2, delta, decoupled=False, scale=1.0, l2=0.0, l1=0.0,
    ):
        numbers = lr, correction, beta1, beta2, delta, scale, l2, l1
        _move(self.kernels, "adam", (w, g, m, v), *numbers, sizes=(decoupled,))


def _move(kernels, kernel, arrays, *numbers, sizes=()):
    """The rule on every element. `numbers` may change in every iteration."""
    count = arrays[0].size
    if count:
        row, values = kernels.changing(np.float64, numbers)
        kernels.launch("update.cu", kernel, blocks(count), *arrays, count, *sizes, row, *values, kernels.control,
                       dtype=arrays[0].dtype)
