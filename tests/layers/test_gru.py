"""GRU against its formula."""

import numpy as np

from layerforge.layers.gru import GRU
from layerforge.testing import LayerTest

CONT = np.array([[0, 0], [1, 1], [1, 0], [1, 1]])


class TestGRU(LayerTest):
    layer = GRU
    cases = [dict(num_output=3), dict(num_output=2, linear_before_reset=1)]

    def inputs(self, rng):
        return [rng.normal(size=(4, 2, 3)), CONT]

    def expected(self, x, cont, num_output, linear_before_reset=0):
        w, b, *recurrent = self.blobs
        h, out = np.zeros((2, num_output)), []
        for t in range(len(x)):
            old = cont[t][:, None] * h
            z, r, n = np.split(x[t] @ w.T + b, 3, axis=1)
            z, r = (1 / (1 + np.exp(-(gate + old @ weights.T))) for gate, weights in zip((z, r), recurrent))
            if linear_before_reset:
                n = np.tanh(n + r * (old @ recurrent[2].T + recurrent[3]))
            else:
                n = np.tanh(n + (r * old) @ recurrent[2].T)
            h = n + z * (old - n)
            out.append(h)
        return np.stack(out)


class TestGRUWithStaticInput(TestGRU):
    cases = [dict(num_output=2)]

    def inputs(self, rng):
        return [rng.normal(size=(4, 2, 3)), CONT, np.zeros((2, 2))]

    def expected(self, x, cont, static, **case):
        del self.blobs[2]
        return super().expected(x, cont, **case)
