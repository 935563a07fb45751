"""LSTM and LSTMUnit against their formulas."""

import numpy as np

from layerforge.layers.lstm import LSTM, LSTMUnit
from layerforge.testing import LayerTest

CONT = np.array([[0, 0], [1, 1], [1, 0], [1, 1]])


def unit(gates, cont, c):
    """(c, h) after a step."""
    i, f, o = (1 / (1 + np.exp(-part)) for part in np.split(gates, 4, axis=-1)[:3])
    c = cont[:, None] * f * c + i * np.tanh(np.split(gates, 4, axis=-1)[3])
    return c, o * np.tanh(c)


def lstm(x, cont, weights, static=None, h=None, c=None):
    """Outputs and last states; weights in the order of the blobs."""
    weights = list(weights)
    w, b = weights.pop(0), weights.pop(0)
    same = 0 if static is None else static @ weights.pop(0).T
    zeros = np.zeros((x.shape[1], len(b) // 4))
    h, c, out = zeros if h is None else h, zeros if c is None else c, []
    for t in range(len(x)):
        gates = x[t].reshape(x.shape[1], -1) @ w.T + b + same + (cont[t][:, None] * h) @ weights[0].T
        c, h = unit(gates, cont[t], c)
        out.append(h)
    return np.stack(out), h, c


class TestLSTM(LayerTest):
    layer = LSTM
    cases = [dict(num_output=3), dict(num_output=1)]

    def inputs(self, rng):
        return [rng.normal(size=(4, 2, 3)), CONT]

    def expected(self, x, cont, **_):
        return lstm(x, cont, self.blobs)[0]


class TestLSTMWithStaticInput(LayerTest):
    layer = LSTM
    cases = [dict(num_output=2)]

    def inputs(self, rng):
        return [rng.normal(size=(4, 2, 3)), CONT, rng.normal(size=(2, 4))]

    def expected(self, x, cont, static, **_):
        return lstm(x, cont, self.blobs, static)[0]


class TestLSTMUnit(LayerTest):
    layer = LSTMUnit

    def inputs(self, rng):
        return [rng.normal(size=(1, 3, 2)), rng.normal(size=(1, 3, 8)), np.array([[1, 0, 1]])]

    def expected(self, c, gates, cont):
        return [part[None] for part in unit(gates[0], cont[0], c[0])]


def test_exposed_states_go_in_and_out():
    from layerforge.testing.harness import Rig

    rng = np.random.default_rng(0)
    x, h, c = rng.normal(size=(3, 2, 4)), rng.normal(size=(1, 2, 3)), rng.normal(size=(1, 2, 3))
    static, cont = rng.normal(size=(2, 5)), np.ones((3, 2))
    made = Rig(LSTM, dict(num_output=3, expose_hidden=True), [x, cont, static, h, c], tops=3, dtype=np.float64)
    for p in made.parameters():
        p[...] = rng.normal(size=p.shape)
    y, last_h, last_c = lstm(x, cont, made.parameters(), static, h[0], c[0])
    for got, want in zip(made.forward(), (y, last_h[None], last_c[None])):
        np.testing.assert_allclose(got, want)
