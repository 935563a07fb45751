"""Long short-term memory."""

from __future__ import annotations

from typing import Any

from layerforge.layers.activation import sigmoid
from layerforge.layers.base import Layer
from layerforge.layers.recurrent import Recurrent


def cell_forward(xp: Any, gates: Any, cont: Any, before: Any, cell: Any, squashed: Any, h: Any) -> None:
    """One step. gates (N, 4D), sums of inputs on entry, hold i, f, o, g on return, f scaled by cont (N, 1).

    before, cell  c[t-1] and c[t] (N, D);  squashed  tanh c[t];  h  h[t] = o · squashed
    """
    d = cell.shape[-1]
    sigmoid(xp, gates[:, : 3 * d], gates[:, : 3 * d])
    xp.tanh(gates[:, 3 * d :], out=gates[:, 3 * d :])
    i, f, o, g = (gates[:, k * d : (k + 1) * d] for k in range(4))
    xp.multiply(f, cont, out=f)
    xp.multiply(f, before, out=cell)
    xp.multiply(i, g, out=squashed)
    xp.add(cell, squashed, out=cell)
    xp.tanh(cell, out=squashed)
    xp.multiply(o, squashed, out=h)


def cell_backward(
    xp: Any, gates: Any, before: Any, squashed: Any, dh: Any, dc: Any, gates_diff: Any, work: Any
) -> None:
    """The step back: dc (N, D) becomes the whole gradient of c[t]; gates_diff (N, 4D) that of the sums of inputs.

    The gradient of c[t-1] is dc · f, left to the caller. f(1 - f) contains cont, as in Caffe: right for 0 and 1.
    """
    d = dc.shape[-1]
    i, f, o, g = (gates[:, k * d : (k + 1) * d] for k in range(4))
    di, df, do, dg = (gates_diff[:, k * d : (k + 1) * d] for k in range(4))
    xp.multiply(dh, squashed, out=do)  # do before the gate
    xp.multiply(squashed, squashed, out=work)
    xp.subtract(1.0, work, out=work)
    xp.multiply(work, o, out=work)
    xp.multiply(work, dh, out=work)
    xp.add(dc, work, out=dc)
    xp.multiply(dc, g, out=di)
    xp.multiply(dc, before, out=df)
    xp.multiply(dc, i, out=dg)
    for gate, gradient in ((i, di), (f, df), (o, do)):
        xp.subtract(1.0, gate, out=work)
        xp.multiply(work, gate, out=work)
        xp.multiply(gradient, work, out=gradient)
    xp.multiply(g, g, out=work)
    xp.subtract(1.0, work, out=work)
    xp.multiply(dg, work, out=dg)


class LSTM(Recurrent):
    """(i, f, o, g) = (σ, σ, σ, tanh)(W_x x[t] + b + W_s s + W_h cont[t] h[t-1])
    c[t] = cont[t] f c[t-1] + i g,   h[t] = o tanh c[t]

    bottom[0]  x (T, N, *inner)           I = the product of inner
    bottom[1]  cont (T, N)                0 starts a sequence, 1 goes on
    bottom[2]  s (N, *)                   a static input, may be left out
    then       h[0], c[0] (1, N, D) each  with expose_hidden
    top[0]     h (T, N, D)
    then       h[T], c[T] (1, N, D) each  with expose_hidden
    blobs      W_x (4D, I), b (4D,), [W_s (4D, S)], W_h (4D, D)

    Source: Hochreiter and Schmidhuber 1997; Caffe's recurrent_layer.cpp, lstm_layer.cpp, lstm_unit_layer.cpp
    """

    type = "LSTM"
    rows, states = 4, ("h", "c")

    def add_weights(self):
        self.state_index = len(self.blobs)
        self.Wh = self.add_blob((4 * self.d, self.d), self.params.weight_filler)

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        t, n, d = self.steps, self.streams, self.d
        self.cells, self.squashed = self.kept((t + 1, n, d)), self.kept((t, n, d))  # c[0] … c[T], tanh c[1] … c[T]
        self.work = [self.scratch((n, d)) for _ in range(3)]

    def run(self, gates, cont, first, y):
        xp, entered, cells, squashed = self.xp, self.entered.data, self.cells.data, self.squashed.data
        h = first[0]
        xp.copyto(cells[0], first[1])
        for t in range(self.steps):
            xp.multiply(h, cont[t], out=entered[t])
            self.ops.matmul(entered[t], self.Wh.data, trans_b=True, acc=gates[t])
            h = y[t]
            cell_forward(xp, gates[t], cont[t], cells[t], cells[t + 1], squashed[t], h)
        return [h, cells[self.steps]]

    def back(self, gates_diff, cont, dy):
        xp, gates, cells, squashed = self.xp, self.gates.data, self.cells.data, self.squashed.data
        dh, dc, work = (buffer.data for buffer in self.work)
        dh.fill(0)  # what comes back from the step after
        dc.fill(0)
        for t in reversed(range(self.steps)):
            xp.add(dh, dy[t], out=dh)
            cell_backward(xp, gates[t], cells[t], squashed[t], dh, dc, gates_diff[t], work)
            xp.multiply(dc, gates[t][:, self.d : 2 * self.d], out=dc)
            self.ops.matmul(gates_diff[t], self.Wh.data, out=dh)
            xp.multiply(dh, cont[t], out=dh)
        if self.needs_gradient[self.state_index]:
            flat = gates_diff.reshape(-1, 4 * self.d)
            self.ops.matmul(flat, self.entered.data.reshape(-1, self.d), trans_a=True, acc=self.Wh.diff)


class LSTMUnit(Layer):
    """(i, f, o, g) = (σ, σ, σ, tanh)(x);  c = cont f c_before + i g,  h = o tanh c: one step of an LSTM

    bottom[0]  c_before (1, N, D)
    bottom[1]  x (1, N, 4D)
    bottom[2]  cont (1, N)
    top[0]     c (1, N, D)
    top[1]     h (1, N, D)

    Source: Caffe's lstm_unit_layer.cpp
    """

    type = "LSTMUnit"
    bottoms, tops, no_gradient = 3, 2, (2,)

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        self.require(len(shape) == 3 and shape[0] == 1, f"bottom[0] has the shape {shape}, expected (1, N, D)")
        n, d = shape[1:]
        for i, want in ((1, (1, n, 4 * d)), (2, (1, n))):
            self.require(bottom[i].shape == want, f"bottom[{i}] has the shape {bottom[i].shape}, expected {want}")
        for view in top:
            view.reshape(shape)
        self.gates, self.squashed = self.kept((n, 4 * d)), self.kept((n, d))
        self.work = [self.scratch((n, d)), self.scratch((n, d)), self.scratch((n, 4 * d))]

    def forward(self, bottom, top):
        gates = self.gates.data
        self.xp.copyto(gates, bottom[1].data[0])
        cont = bottom[2].data.reshape(-1, 1)
        cell_forward(self.xp, gates, cont, bottom[0].data[0], top[0].data[0], self.squashed.data, top[1].data[0])

    def backward(self, top, propagate_down, bottom):
        self.require(not propagate_down[2], "cont has no gradient", hint="set propagate_down: false for it")
        gates, d = self.gates.data, top[0].shape[2]
        dc, work, unwanted = (buffer.data for buffer in self.work)
        self.xp.copyto(dc, top[0].diff[0])
        gates_diff = bottom[1].diff[0] if propagate_down[1] else unwanted
        cell_backward(self.xp, gates, bottom[0].data[0], self.squashed.data, top[1].diff[0], dc, gates_diff, work)
        if propagate_down[0]:
            self.xp.multiply(dc, gates[:, d : 2 * d], out=bottom[0].diff[0])
