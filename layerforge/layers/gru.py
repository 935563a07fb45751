"""Gated recurrent units."""

from __future__ import annotations

from layerforge.layers.activation import sigmoid
from layerforge.layers.recurrent import Recurrent, RecurrentParams
from layerforge.netdef.params import field


class GRUParams(RecurrentParams):
    linear_before_reset: int = field(int, 0, at_least=0, doc="not 0: the reset gate acts on R_n h + b_R and not on h")


class GRU(Recurrent):
    """z, r = σ(W x[t] + b + W_s s + R h');   n = tanh(W_n x[t] + b_n + W_ns s + R_n (r h'));   h[t] = n + z (h' - n)
    with h' = cont[t] h[t-1]; linear_before_reset: n = tanh(… + r (R_n h' + b_R))

    bottom[0]  x (T, N, *inner)   I = the product of inner
    bottom[1]  cont (T, N)        0 starts a sequence, 1 goes on
    bottom[2]  s (N, *)           a static input, may be left out
    bottom[-1] h[0] (1, N, D)     with expose_hidden
    top[0]     h (T, N, D)
    top[1]     h[T] (1, N, D)     with expose_hidden
    blobs      W (3D, I) for z, r, n; b (3D,); [W_s (3D, S)]; R_z, R_r, R_n (D, D); [b_R (D,)]

    Source: Cho et al. 2014; synopsys-caffe's GRU
    """

    type, Params = "GRU", GRUParams
    rows = 3

    def add_weights(self):
        p, d = self.params, self.d
        self.linear = p.linear_before_reset != 0
        self.state_index = len(self.blobs)
        self.R = [self.add_blob((d, d), p.weight_filler) for _ in range(3)]
        self.bR = self.add_blob((d,), p.bias_filler) if self.linear else None

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        t, n, d = self.steps, self.streams, self.d
        self.mixed = self.kept((t, n, d))  # r h', or R_n h' + b_R
        self.work = [self.scratch((n, d)) for _ in range(3)]
        self.parts = self.scratch((3, t, n, d))  # gradients of z, r and n, or of R_n h' + b_R, each in one piece

    def split(self, gates):
        d = self.d
        return gates[:, :d], gates[:, d : 2 * d], gates[:, 2 * d :]

    def run(self, gates, cont, first, y):
        xp, ops, entered, mixed = self.xp, self.ops, self.entered.data, self.mixed.data
        term = self.work[0].data
        h = first[0]
        for t in range(self.steps):
            old, (z, r, n) = entered[t], self.split(gates[t])
            xp.multiply(h, cont[t], out=old)
            for gate, weights in zip((z, r), self.R):
                ops.matmul(old, weights.data, trans_b=True, out=term)
                xp.add(gate, term, out=gate)
                sigmoid(xp, gate, gate)
            if self.linear:
                ops.matmul(old, self.R[2].data, trans_b=True, out=mixed[t])
                ops.add_bias(mixed[t], self.bR.data)
                xp.multiply(mixed[t], r, out=term)
            else:
                xp.multiply(old, r, out=mixed[t])
                ops.matmul(mixed[t], self.R[2].data, trans_b=True, out=term)
            xp.add(n, term, out=n)
            xp.tanh(n, out=n)
            h = y[t]
            xp.subtract(old, n, out=h)
            xp.multiply(h, z, out=h)
            xp.add(h, n, out=h)
        return [h]

    def back(self, gates_diff, cont, dy):
        xp, parts = self.xp, self.parts.data
        dh = self.work[0].data
        dh.fill(0)
        for t in reversed(range(self.steps)):
            xp.add(dh, dy[t], out=dh)
            self._step_back(t, gates_diff[t], parts[:, t], dh)
            xp.multiply(dh, cont[t], out=dh)
        self._weight_gradients(parts)

    def _step_back(self, t, gates_diff, parts, dh):
        """dh becomes the gradient of h'; parts (3, N, D) are what enters the gradients of R."""
        xp, ops, old, mixed = self.xp, self.ops, self.entered.data[t], self.mixed.data[t]
        (z, r, n), (dz, dr, dn) = self.split(self.gates.data[t]), self.split(gates_diff)
        term, work = self.work[1].data, self.work[2].data
        xp.subtract(old, n, out=dz)
        xp.multiply(dz, dh, out=dz)
        self._sigmoid_gradient(dz, z, work)
        xp.subtract(1.0, z, out=dn)
        xp.multiply(dn, dh, out=dn)
        xp.multiply(n, n, out=work)
        xp.subtract(1.0, work, out=work)
        xp.multiply(dn, work, out=dn)
        xp.multiply(dh, z, out=dh)
        if self.linear:
            xp.multiply(dn, mixed, out=dr)
            xp.multiply(dn, r, out=parts[2])
            ops.matmul(parts[2], self.R[2].data, out=term)
        else:
            xp.copyto(parts[2], dn)
            ops.matmul(parts[2], self.R[2].data, out=term)  # of r h'
            xp.multiply(term, old, out=dr)
            xp.multiply(term, r, out=term)
        xp.add(dh, term, out=dh)
        self._sigmoid_gradient(dr, r, work)
        for k, gradient in enumerate((dz, dr)):
            xp.copyto(parts[k], gradient)
            ops.matmul(parts[k], self.R[k].data, acc=dh)

    def _sigmoid_gradient(self, gradient, gate, work):
        """gradient *= gate (1 - gate)"""
        self.xp.subtract(1.0, gate, out=work)
        self.xp.multiply(work, gate, out=work)
        self.xp.multiply(gradient, work, out=gradient)

    def _weight_gradients(self, parts):
        d, wanted = self.d, self.needs_gradient[self.state_index :]
        entered, mixed = self.entered.data.reshape(-1, d), self.mixed.data.reshape(-1, d)
        for k, source in enumerate((entered, entered, entered if self.linear else mixed)):
            if wanted[k]:
                self.ops.matmul(parts[k].reshape(-1, d), source, trans_a=True, acc=self.R[k].diff)
        if self.linear and wanted[3]:
            self.ops.bias_gradient(parts[2].reshape(-1, d), self.bR.diff)
