"""Update rules on the host, block by block: a block stays in the cache while all the steps of a rule pass over it."""

import functools
import math

import numpy as np

from layerforge.backends.ops.update import UpdateOps
from layerforge.core.threads import share

LEAST = 131072  # elements that a thread of its own is worth
BLOCK = 32768  # elements: the five float32 arrays of a block are 640 KiB, which a second-level cache holds


def blocks(*arrays):
    """Slices of the flattened arrays, and one block of scratch: (x, y, ..., t)."""
    flat = [a.reshape(-1) for a in arrays]
    count = flat[0].size
    scratch = np.empty(min(count, BLOCK), flat[0].dtype)
    for start in range(0, count, BLOCK):
        end = min(start + BLOCK, count)
        yield (*(a[start:end] for a in flat), scratch[: end - start])


def regularise(w, g, t, scale, l2, l1):
    """g ← scale · g + l2 · w + l1 · sign(w)"""
    if scale != 1:
        g *= scale
    if l2:
        g += np.multiply(w, l2, out=t)
    if l1:
        np.sign(w, out=t)
        t *= l1
        g += t


def decaying_mean(mean, x, decay, t):
    """mean ← decay · mean + (1 - decay) · x²"""
    np.multiply(x, x, out=t)
    t *= 1 - decay
    mean *= decay
    mean += t


def on_all_cores(rule):
    """The rule on parts of its arrays, a thread for each: they do not depend on one another."""

    @functools.wraps(rule)
    def shared(self, *arrays, **numbers):
        flat = [a.reshape(-1) for a in arrays]

        def work(part):
            with np.errstate(all="ignore"):  # threads do not inherit it; what overflows shows in the next loss
                rule(self, *(a[part] for a in flat), **numbers)

        share(work, flat[0].size, LEAST)

    return shared


class NumpyUpdateOps(UpdateOps):
    def sum_of_squares(self, arrays):
        return sum(float(np.dot(x, x)) for x in (a.reshape(-1) for a in arrays))

    @on_all_cores
    def update_sgd(self, w, g, h, *, lr, momentum, scale=1.0, l2=0.0, l1=0.0):
        parts = blocks(w, g, h)
        for w, g, h, t in parts:
            regularise(w, g, t, lr * scale, lr * l2, lr * l1)
            h *= momentum
            h += g
            g[...] = h
            w -= h

    def update_lars(self, w, g, h, *, lr, momentum, eta, clip=False, scale=1.0, l2=0.0, l1=0.0):
        weight, gradient = math.sqrt(self.sum_of_squares([w])), scale * math.sqrt(self.sum_of_squares([g]))
        ratio = eta * weight / (gradient + l2 * weight) if weight and gradient else 1.0
        rate = min(lr, ratio) if clip else lr * ratio
        self.update_sgd(w, g, h, lr=rate, momentum=momentum, scale=scale, l2=l2, l1=l1)

    @on_all_cores
    def update_nesterov(self, w, g, h, *, lr, momentum, scale=1.0, l2=0.0, l1=0.0):
        parts = blocks(w, g, h)
        for w, g, h, t in parts:
            regularise(w, g, t, lr * scale, lr * l2, lr * l1)
            np.multiply(h, momentum, out=t)  # what the last step already went
            np.add(g, t, out=h)
            np.multiply(h, 1 + momentum, out=g)
            g -= t
            w -= g

    @on_all_cores
    def update_adagrad(self, w, g, h, *, lr, delta, scale=1.0, l2=0.0, l1=0.0):
        parts = blocks(w, g, h)
        for w, g, h, t in parts:
            regularise(w, g, t, scale, l2, l1)
            h += np.multiply(g, g, out=t)
            self._divided_by_root(w, g, h, t, lr, delta)

    @on_all_cores
    def update_rmsprop(self, w, g, h, *, lr, decay, delta, scale=1.0, l2=0.0, l1=0.0):
        parts = blocks(w, g, h)
        for w, g, h, t in parts:
            regularise(w, g, t, scale, l2, l1)
            decaying_mean(h, g, decay, t)
            self._divided_by_root(w, g, h, t, lr, delta)

    @on_all_cores
    def update_adadelta(self, w, g, h, u, *, lr, decay, delta, scale=1.0, l2=0.0, l1=0.0):
        parts = blocks(w, g, h, u)
        for w, g, h, u, t in parts:
            regularise(w, g, t, scale, l2, l1)
            decaying_mean(h, g, decay, t)
            np.add(u, delta, out=t)
            t /= h + h.dtype.type(delta)
            g *= np.sqrt(t, out=t)
            decaying_mean(u, g, decay, t)
            g *= lr
            w -= g

    @on_all_cores
    def update_adam(
        self, w, g, m, v, *, lr, correction, beta1, beta2, delta, decoupled=False, scale=1.0, l2=0.0, l1=0.0,
    ):
        parts = blocks(w, g, m, v)
        for w, g, m, v, t in parts:
            regularise(w, g, t, scale, 0 if decoupled else l2, 0 if decoupled else l1)
            decaying_mean(v, g, beta2, t)
            g *= 1 - beta1
            m *= beta1
            m += g
            np.sqrt(v, out=t)
            t += delta
            np.divide(m, t, out=g)
            g *= lr * correction
            if decoupled:
                regularise(w, g, t, 1, lr * l2, lr * l1)
            w -= g

    @staticmethod
    def _divided_by_root(w, g, h, t, lr, delta):
        """w ← w - lr · g / (√h + delta)"""
        np.sqrt(h, out=t)
        t += delta
        g /= t
        g *= lr
        w -= g
