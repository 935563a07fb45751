"""RNN against its formula, and what all recurrent layers share."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.lstm import LSTM
from layerforge.layers.recurrent import RNN
from layerforge.testing import LayerTest
from layerforge.testing.harness import Rig

CONT = np.array([[0, 0], [1, 1], [1, 0], [1, 1]])


def rnn(x, cont, weights, static=None, h=None):
    """Outputs and last hidden state; weights in the order of the blobs."""
    weights = list(weights)
    w, b = weights.pop(0), weights.pop(0)
    same = 0 if static is None else static.reshape(len(static), -1) @ weights.pop(0).T
    recurrent = weights.pop(0)
    h, out = np.zeros((x.shape[1], len(b))) if h is None else h, []
    for t in range(len(x)):
        h = np.tanh(x[t].reshape(x.shape[1], -1) @ w.T + b + same + (cont[t][:, None] * h) @ recurrent.T)
        out.append(np.tanh(h @ weights[0].T + weights[1]) if weights else h)
    return np.stack(out), h


class TestRNN(LayerTest):
    layer = RNN
    cases = [dict(num_output=3), dict(num_output=2, tf_rnn=True)]

    def inputs(self, rng):
        return [rng.normal(size=(4, 2, 3, 2)), CONT]

    def expected(self, x, cont, **_):
        return rnn(x, cont, self.blobs)[0]


class TestRNNWithStaticInput(LayerTest):
    layer = RNN
    cases = [dict(num_output=3)]

    def inputs(self, rng):
        return [rng.normal(size=(4, 2, 3)), CONT, rng.normal(size=(2, 2, 2))]

    def expected(self, x, cont, static, **_):
        return rnn(x, cont, self.blobs, static)[0]


class TestRNNWithExposedState(LayerTest):
    layer, tops, check_bottoms = RNN, 2, (0,)
    cases = [dict(num_output=3, expose_hidden=True)]

    def inputs(self, rng):
        return [rng.normal(size=(4, 2, 3)), np.ones((4, 2)), rng.normal(size=(1, 2, 3))]

    def expected(self, x, cont, h, **_):
        y, last = rnn(x, cont, self.blobs, h=h[0])
        return y, last[None]

    def _weights(self, tops):
        return [super()._weights(tops)[0], np.zeros_like(tops[1])]

    def test_gradient_agrees_with_differences(self, case):
        """Gradients reach x and the parameters from the first top only, so the second has the weight 0."""
        rng, inputs = np.random.default_rng(3), self._inputs(case)
        rig = self._rig(case, inputs, dtype=np.float64)
        weights = rng.normal(size=rig.forward()[0].shape)
        dx = rig.backward([weights, np.zeros((1, 2, 3))])[0]
        for at in [(0, 0, 0), (2, 1, 1), (3, 0, 2)]:
            moved = [inputs[0].copy(), *inputs[1:]]
            moved[0][at] += 1e-5
            up = (rig.forward(moved)[0] * weights).sum()
            moved[0][at] -= 2e-5
            down = (rig.forward(moved)[0] * weights).sum()
            assert dx[at] == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-7)


def filled(layer, shape=(3, 2, 4), cont=None, **case):
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=shape), np.ones(shape[:2]) if cont is None else cont]
    made = Rig(layer, dict(dict(num_output=3), **case), inputs, dtype=np.float64)
    for p in made.parameters():
        p[...] = rng.normal(size=p.shape)
    return made, inputs


@pytest.mark.parametrize("layer", [RNN, LSTM])
def test_the_last_state_enters_the_next_pass(layer):
    two, (x, cont) = filled(layer)
    whole, _ = filled(layer, (6, 2, 4))
    for p, q in zip(whole.parameters(), two.parameters()):
        p[...] = q
    more = np.random.default_rng(1).normal(size=x.shape)
    first, second = two.forward([x, cont])[0], two.forward([more, cont])[0]
    want = whole.forward([np.concatenate([x, more]), np.ones((6, 2))])[0]
    np.testing.assert_allclose(np.concatenate([first, second]), want)


@pytest.mark.parametrize("layer", [RNN, LSTM])
def test_a_reshape_to_the_same_streams_keeps_the_state(layer):
    made, inputs = filled(layer)
    other, _ = filled(layer)
    made.forward(), other.forward()
    made.step.reshape()
    np.testing.assert_array_equal(made.forward()[0], other.forward()[0])


@pytest.mark.parametrize("layer", [RNN, LSTM])
def test_a_saved_state_goes_on_exactly(layer):
    made, _ = filled(layer)
    made.forward()
    state = made.layer.state()
    want = made.forward()[0]
    other, _ = filled(layer)
    other.layer.load_state(state)
    np.testing.assert_array_equal(other.forward()[0], want)


def test_a_saved_state_of_other_streams_is_refused():
    made, _ = filled(LSTM)
    with pytest.raises(LayerForgeError, match="the saved state h has the shape"):
        made.layer.load_state({"h": np.zeros((5, 3)), "c": np.zeros((5, 3))})


def test_flags_scale_the_state_that_enters():
    made, inputs = filled(RNN, cont=np.full((3, 2), 0.5))
    np.testing.assert_allclose(made.forward()[0], rnn(*inputs, made.parameters())[0])


def test_exposed_states_get_no_gradient():
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(2, 1, 2)), np.ones((2, 1)), *rng.normal(size=(2, 1, 1, 3))]
    made = Rig(LSTM, dict(num_output=3, expose_hidden=True), inputs, tops=3)
    made.forward()
    grads = made.backward([np.ones((2, 1, 3))] + [np.ones((1, 1, 3))] * 2, [True, False, True, True])
    assert not grads[2].any() and not grads[3].any()


@pytest.mark.parametrize("shapes, tops, case, words", [
    ([(3, 2, 4), (3, 1)], 1, {}, "bottom[1] has the shape (3, 1), expected (3, 2)"),
    ([(3,), (3, 1)], 1, {}, "it needs (T, N, ...)"),
    ([(3, 2, 4), (3, 2)], 2, {}, "2 tops, expected 1"),
    ([(3, 2, 4), (3, 2)], 2, dict(expose_hidden=True), "2 bottoms, expected 3 or 4"),
    ([(3, 2, 4), (3, 2), (1, 2, 4)], 2, dict(expose_hidden=True), "shape (1, 2, 4), expected (1, 2, 3)"),
    ([(3, 2, 4), (3, 2), (4, 1)], 1, {}, "expected 2 streams first"),
])
def test_wrong_bottoms_are_refused(shapes, tops, case, words):
    with pytest.raises(LayerForgeError) as caught:
        Rig(RNN, dict(num_output=3, **case), [np.zeros(s) for s in shapes], tops=tops)
    assert words in str(caught.value)
