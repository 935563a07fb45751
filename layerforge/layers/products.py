"""Products of matrices: MatMul, Gemm."""

from __future__ import annotations

import math

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class MatMulParams(Params, message="matmul_param"):
    transpose_a: bool = field(bool, False, doc="takes the matrices of a transposed")
    transpose_b: bool = field(bool, False, doc="takes the matrices of b transposed")


class MatMul(Layer):
    """y = op(a) op(b)      for each matrix of the leading axes; op transposes where asked

    bottom[0]  a (*batch, M, K), transposed: (*batch, K, M)
    bottom[1]  b (*batch, K, N), transposed: (*batch, N, K)
    top[0]     y (*batch, M, N)
    """

    type, Params = "MatMul", MatMulParams
    bottoms = 2

    def reshape(self, bottom, top):
        p, (a, b) = self.params, (x.shape for x in bottom)
        fits = len(a) == len(b) >= 2 and a[:-2] == b[:-2]
        self.require(fits, f"bottom[0] is {a}, bottom[1] is {b}: they may differ in the last two axes only")
        m, k = a[-2:][::-1] if p.transpose_a else a[-2:]
        k2, n = b[-2:][::-1] if p.transpose_b else b[-2:]
        self.require(k == k2, f"bottom[0] is {a}, bottom[1] is {b}: {k} and {k2} values would be summed over")
        batch = math.prod(a[:-2])
        self.a, self.b, self.y = (batch, *a[-2:]), (batch, *b[-2:]), (batch, m, n)
        top[0].reshape(*a[:-2], m, n)

    def forward(self, bottom, top):
        p, a, b = self.params, bottom[0].data.reshape(self.a), bottom[1].data.reshape(self.b)
        self.ops.matmul(a, b, trans_a=p.transpose_a, trans_b=p.transpose_b, out=top[0].data.reshape(self.y))

    def backward(self, top, propagate_down, bottom):
        p, dy = self.params, top[0].diff.reshape(self.y)
        a, b = bottom[0].data.reshape(self.a), bottom[1].data.reshape(self.b)
        if propagate_down[0]:
            product_gradient(self.ops, dy, b, p.transpose_a, p.transpose_b, bottom[0].diff.reshape(self.a))
        if propagate_down[1]:
            # yᵀ = op(b)ᵀ op(a)ᵀ: the gradient of b is that of a first factor, everything transposed
            product_gradient(
                self.ops, dy, a, p.transpose_b, p.transpose_a, bottom[1].diff.reshape(self.b), mirrored=True
            )


def product_gradient(ops, dy, other, transposed, other_transposed, out, mirrored=False):
    """out = dy op(other)ᵀ, or its transpose where this factor is taken transposed. `mirrored`: second factor."""
    if mirrored:  # op(other)ᵀ dy
        if transposed:
            ops.matmul(dy, other, trans_a=True, trans_b=other_transposed, out=out)
        else:
            ops.matmul(other, dy, trans_a=not other_transposed, out=out)
    elif transposed:
        ops.matmul(other, dy, trans_a=other_transposed, trans_b=True, out=out)
    else:
        ops.matmul(dy, other, trans_b=not other_transposed, out=out)


class GemmParams(Params, message="gemm_param"):
    alpha: float = field(float, 1.0, doc="multiplies the product")
    beta: float = field(float, 1.0, doc="multiplies c")
    transA: int = field(int, 0, at_least=0, at_most=1, doc="1: takes a transposed")  # the name in the text
    transB: int = field(int, 0, at_least=0, at_most=1, doc="1: takes b transposed")


class Gemm(Layer):
    """y = alpha · op(a) op(b) + beta · c      op transposes where asked

    bottom[0]  a (M, K), transposed: (K, M)
    bottom[1]  b (K, N), transposed: (N, K)
    bottom[2]  c, repeated to (M, N), optional
    top[0]     y (M, N)

    Source: ONNX's operator
    """

    type, Params = "Gemm", GemmParams
    bottoms = (2, 3)

    def reshape(self, bottom, top):
        p, (a, b) = self.params, (x.shape for x in bottom[:2])
        self.require(len(a) == len(b) == 2, f"bottom[0] is {a}, bottom[1] is {b}: both must have two axes")
        m, k = a[::-1] if p.transA else a
        k2, n = b[::-1] if p.transB else b
        self.require(k == k2, f"bottom[0] is {a}, bottom[1] is {b}: {k} and {k2} values would be summed over")
        top[0].reshape(m, n)
        self.scaled = self.scratch((m, n))
        if len(bottom) > 2:
            c = bottom[2].shape
            self.c = (1,) * (2 - len(c)) + c
            fits = len(c) <= 2 and all(x in (1, y) for x, y in zip(self.c, (m, n)))
            self.require(fits, f"bottom[2] is {c}, which cannot be repeated to {(m, n)}")
            self.spread = tuple(i for i in (0, 1) if self.c[i] != (m, n)[i])

    def forward(self, bottom, top):
        xp, p, y = self.xp, self.params, top[0].data
        self.ops.matmul(bottom[0].data, bottom[1].data, trans_a=bool(p.transA), trans_b=bool(p.transB), out=y)
        xp.multiply(y, p.alpha, out=y)
        if len(bottom) > 2:
            xp.add(y, xp.multiply(bottom[2].data.reshape(self.c), p.beta, out=self.scaled.data), out=y)

    def backward(self, top, propagate_down, bottom):
        xp, p, dy, scaled = self.xp, self.params, top[0].diff, self.scaled.data
        a, b, ta, tb = bottom[0].data, bottom[1].data, bool(p.transA), bool(p.transB)
        xp.multiply(dy, p.alpha, out=scaled)
        if propagate_down[0]:
            product_gradient(self.ops, scaled, b, ta, tb, bottom[0].diff)
        if propagate_down[1]:
            product_gradient(self.ops, scaled, a, tb, ta, bottom[1].diff, mirrored=True)
        if len(bottom) > 2 and propagate_down[2]:
            dc = bottom[2].diff.reshape(self.c)
            xp.sum(dy, axis=self.spread, keepdims=True, out=dc)
            xp.multiply(dc, p.beta, out=dc)
