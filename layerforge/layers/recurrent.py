"""What recurrent layers share, and the simplest of them."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from layerforge.layers.base import Layer
from layerforge.layers.fillers import FillerParams
from layerforge.netdef.params import Params, field


class RecurrentParams(Params, message="recurrent_param"):
    num_output: int = field(int, required=True, at_least=1, doc="D: the size of the output and of the hidden state")
    weight_filler: FillerParams = field(FillerParams, FillerParams(), doc="how all weights start")
    bias_filler: FillerParams = field(FillerParams, FillerParams(), doc="how all offsets start")
    debug_info: bool = field(bool, False, doc="has no effect: there is no inner net to print")
    expose_hidden: bool = field(bool, False, doc="takes first states as bottoms and gives the last ones as tops")


class Recurrent(Layer):
    """Layers that go through T time steps of N streams.

    bottom[0]  x (T, N, *inner)     I = the product of inner
    bottom[1]  cont (T, N)          scales the state that enters a step: 0 starts a sequence, 1 goes on
    bottom[2]  static input (N, *)  may be left out; the same at every step
    then       with expose_hidden the first states, each (1, N, D)
    top[0]     h (T, N, D)
    then       with expose_hidden the last states, each (1, N, D)

    Without expose_hidden the last states enter the first step of the next forward pass. No gradient crosses passes or
    reaches exposed states.

    A subclass has `add_weights`, `run`, `back`, and
      rows    how many times D values a step is given
      states  the names of what goes from step to step
    """

    Params = RecurrentParams
    bottoms, tops, no_gradient = (2, 5), (1, 3), (1,)
    rows: ClassVar[int] = 1
    states: ClassVar[tuple[str, ...]] = ("h",)

    def setup(self, bottom, top):
        p, exposed = self.params, len(self.states) if self.params.expose_hidden else 0
        self.d, self.exposed = p.num_output, exposed
        self.require(len(bottom) - exposed in (2, 3), f"{len(bottom)} bottoms, expected {2 + exposed} or {3 + exposed}",
                     hint="x, cont, perhaps a static input, then the exposed states")
        self.require(len(top) == 1 + exposed, f"{len(top)} tops, expected {1 + exposed}",
                     hint="h, then the exposed states")
        self.static = len(bottom) - exposed == 3
        self.streams = None
        self.require(len(bottom[0].shape) >= 2, f"bottom[0] has the shape {bottom[0].shape}, it needs (T, N, ...)")
        self.inner = math.prod(bottom[0].shape[2:])
        self.W = self.add_blob((self.rows * self.d, self.inner), p.weight_filler)
        self.b = self.add_blob((self.rows * self.d,), p.bias_filler)
        self.Ws = None
        if self.static:
            self.Ws = self.add_blob((self.rows * self.d, math.prod(bottom[2].shape[1:])), p.weight_filler)
        self.add_weights()

    def add_weights(self):
        """Adds the weights of the state."""
        raise NotImplementedError

    def reshape(self, bottom, top):
        self.check_shapes(bottom)
        t, n, d = *bottom[0].shape[:2], self.d
        top[0].reshape(t, n, d)
        for view in top[1:]:
            view.reshape(1, n, d)
        if self.streams != n:
            self.carried = [self.kept((n, d)) for _ in self.states]
        self.steps, self.streams = t, n
        self.gates, self.gates_diff = self.kept((t, n, self.rows * d)), self.scratch((t, n, self.rows * d))
        self.entered = self.kept((t, n, d))  # the hidden state that entered each step, scaled by cont
        self.static_sum = self.scratch((n, self.rows * d)) if self.static else None

    def check_shapes(self, bottom):
        shape = bottom[0].shape
        self.require(len(shape) >= 2 and math.prod(shape[2:]) == self.inner,
                     f"bottom[0] has the shape {shape}, W was made for (T, N) and {self.inner} values")
        self.require(bottom[1].shape == shape[:2], f"bottom[1] has the shape {bottom[1].shape}, expected {shape[:2]}",
                     hint="one flag for each step and stream")
        if self.static:
            self.require(bottom[2].shape[:1] == shape[1:2],
                         f"bottom[2] has the shape {bottom[2].shape}, expected {shape[1]} streams first")
        for i in range(len(bottom) - self.exposed, len(bottom)):
            want = (1, shape[1], self.d)
            self.require(bottom[i].shape == want, f"bottom[{i}] has the shape {bottom[i].shape}, expected {want}")

    def forward(self, bottom, top):
        xp, x, gates = self.xp, bottom[0].data.reshape(-1, self.inner), self.gates.data
        flat = gates.reshape(-1, self.rows * self.d)  # (T N, rows D)
        self.ops.affine(x, self.W.data, self.b.data, out=flat)
        if self.static:
            same = self.static_sum.data
            self.ops.matmul(bottom[2].data.reshape(self.streams, -1), self.Ws.data, trans_b=True, out=same)
            xp.add(gates, same, out=gates)
        first = targets = [buffer.data for buffer in self.carried]
        if self.exposed:
            first, targets = ([view.data[0] for view in views[-self.exposed :]] for views in (bottom, top))
        last = self.run(gates, bottom[1].data[:, :, None], first, top[0].data)
        for target, source in zip(targets, last):
            xp.copyto(target, source)

    def run(self, gates, cont, first, y):
        """Goes through the steps; returns the last states, (N, D) each.

        gates  (T, N, rows D), what the inputs add up to
        cont   (T, N, 1)
        first  the states before the first step
        y      top[0]
        """
        raise NotImplementedError

    def backward(self, top, propagate_down, bottom):
        self.require(not propagate_down[1], "cont has no gradient", hint="set propagate_down: false for it")
        gates_diff = self.gates_diff.data
        self.back(gates_diff, bottom[1].data[:, :, None], top[0].diff)
        flat, x = gates_diff.reshape(-1, self.rows * self.d), bottom[0].data.reshape(-1, self.inner)
        if self.needs_gradient[0]:
            self.ops.matmul(flat, x, trans_a=True, acc=self.W.diff)
        if self.needs_gradient[1]:
            self.ops.bias_gradient(flat, self.b.diff)
        if propagate_down[0]:
            self.ops.matmul(flat, self.W.data, out=bottom[0].diff.reshape(-1, self.inner))
        if self.static:
            self._static_gradient(gates_diff, bottom[2], propagate_down[2])
        for i in range(len(bottom) - self.exposed, len(bottom)):
            if propagate_down[i]:
                bottom[i].diff.fill(0)

    def back(self, gates_diff, cont, dy):
        """Writes the gradient of what the inputs add up to, and adds to the gradients of the state's weights."""
        raise NotImplementedError

    def _static_gradient(self, gates_diff, view, down):
        same = self.static_sum.data
        self.xp.sum(gates_diff, axis=0, out=same)
        if self.needs_gradient[2]:
            self.ops.matmul(same, view.data.reshape(self.streams, -1), trans_a=True, acc=self.Ws.diff)
        if down:
            self.ops.matmul(same, self.Ws.data, out=view.diff.reshape(self.streams, -1))

    def state(self) -> dict[str, Any]:
        """The states that enter the next pass."""
        if self.exposed or self.streams is None:
            return {}
        return {name: self._host(buffer) for name, buffer in zip(self.states, self.carried)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from saved states.

        Raises LayerError when their shape is not that of this net's streams.
        """
        representation = self.backend.representation
        for name, buffer in zip(self.states, self.carried):
            if name in state:
                values = np.asarray(state[name], self.dtype)
                self.require(values.shape == buffer.shape,
                             f"the saved state {name} has the shape {values.shape}, expected {buffer.shape}",
                             hint="resume with the same number of streams")
                representation.from_host(np.ascontiguousarray(values).reshape(-1), buffer.data.reshape(-1))

    def _host(self, buffer):
        values = np.empty(math.prod(buffer.shape), self.dtype)
        self.backend.representation.to_host(buffer.data.reshape(-1), values)
        return values.reshape(buffer.shape)


class RNNParams(RecurrentParams):
    tf_rnn: bool = field(bool, False, doc="the hidden state is the output: no W_ho and b_o (a fork's form)")


class RNN(Recurrent):
    """h[t] = tanh(W_xh x[t] + b_h + W_xs s + W_hh cont[t] h[t-1]),  y[t] = tanh(W_ho h[t] + b_o)

    bottom[0]  x (T, N, *inner)     I = the product of inner
    bottom[1]  cont (T, N)          0 starts a sequence, 1 goes on
    bottom[2]  s (N, *)             a static input, may be left out
    bottom[-1] h[0] (1, N, D)       with expose_hidden
    top[0]     y (T, N, D)
    top[1]     h[T] (1, N, D)       with expose_hidden
    blobs      W_xh (D, I), b_h (D,), [W_xs (D, S)], W_hh (D, D), W_ho (D, D), b_o (D,)

    tf_rnn: y = h, and the last two blobs are left out. Source: Caffe's recurrent_layer.cpp and rnn_layer.cpp
    """

    type, Params = "RNN", RNNParams

    def add_weights(self):
        p, d = self.params, self.d
        self.first_state = len(self.blobs)
        self.Wh = self.add_blob((d, d), p.weight_filler)
        self.Wo = None if p.tf_rnn else self.add_blob((d, d), p.weight_filler)
        self.bo = None if p.tf_rnn else self.add_blob((d,), p.bias_filler)

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        t, n, d = self.steps, self.streams, self.d
        self.out = None if self.params.tf_rnn else self.kept((t, n, d))
        self.work = self.scratch((t, n, d)), self.scratch((n, d))

    def run(self, gates, cont, first, y):
        xp, ops, entered = self.xp, self.ops, self.entered.data
        h = first[0]
        for t in range(self.steps):
            xp.multiply(h, cont[t], out=entered[t])
            ops.matmul(entered[t], self.Wh.data, trans_b=True, acc=gates[t])
            xp.tanh(gates[t], out=gates[t])
            h = gates[t]
        if self.params.tf_rnn:
            xp.copyto(y, gates)
        else:
            out = self.out.data.reshape(-1, self.d)
            ops.affine(gates.reshape(-1, self.d), self.Wo.data, self.bo.data, out=out)
            xp.tanh(out, out=out)
            xp.copyto(y, self.out.data)
        return [h]

    def back(self, gates_diff, cont, dy):
        xp, ops, hidden = self.xp, self.ops, self.gates.data
        (down, carry), k = (buffer.data for buffer in self.work), self.first_state
        if self.params.tf_rnn:
            xp.copyto(gates_diff, dy)
        else:
            self._tanh_gradient(dy, self.out.data, down)
            flat = down.reshape(-1, self.d)
            if self.needs_gradient[k + 1]:
                ops.matmul(flat, hidden.reshape(-1, self.d), trans_a=True, acc=self.Wo.diff)
            if self.needs_gradient[k + 2]:
                ops.bias_gradient(flat, self.bo.diff)
            ops.matmul(flat, self.Wo.data, out=gates_diff.reshape(-1, self.d))
        carry.fill(0)  # the gradient that comes back from the step after
        for t in reversed(range(self.steps)):
            xp.add(gates_diff[t], carry, out=carry)
            self._tanh_gradient(carry, hidden[t], gates_diff[t])
            ops.matmul(gates_diff[t], self.Wh.data, out=carry)
            xp.multiply(carry, cont[t], out=carry)
        if self.needs_gradient[k]:
            flat = gates_diff.reshape(-1, self.d)
            ops.matmul(flat, self.entered.data.reshape(-1, self.d), trans_a=True, acc=self.Wh.diff)

    def _tanh_gradient(self, dy, y, out):
        """out = dy (1 - y²); out is neither"""
        xp = self.xp
        xp.multiply(y, y, out=out)
        xp.subtract(1.0, out, out=out)
        xp.multiply(out, dy, out=out)
