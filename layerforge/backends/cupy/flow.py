"""Comparing and moving planes in CUDA C."""

from layerforge.backends.cupy.kernels import MOST_BLOCKS, blocks
from layerforge.backends.ops.flow import FlowOps


class CupyFlowOps(FlowOps):
    def correlate(self, a, b, *, pad, kernel, reach, stride, step, subtract, out):
        if out.size:
            sizes = *a.shape[1:], *out.shape[2:], pad, kernel, reach, stride, step, 2 * (reach // step) + 1
            _run(self.kernels, "correlate", out, a, b, out, out.size, subtract, *sizes)

    def correlate_gradient(self, dy, a, b, *, pad, kernel, reach, stride, step, subtract, out_a, out_b):
        sizes = *a.shape[1:], *dy.shape[2:], pad, kernel, reach, stride, step, 2 * (reach // step) + 1
        for second, (own, other, out) in enumerate(((a, b, out_a), (b, a, out_b))):
            if out is not None and out.size:
                _run(self.kernels, "correlate_gradient", out, dy, own, other, out, out.size, subtract, second, *sizes)

    def warp(self, x, flow, *, fill, out):
        if out.size:
            _run(self.kernels, "warp", out, x, flow, out, out.size, *x.shape[1:], float(fill))

    def warp_gradient(self, dy, x, flow, *, out_x, out_flow):
        if out_x is not None and out_x.size:
            planes = x.shape[0] * x.shape[1]
            sizes = planes, *x.shape[1:]
            grid = min(planes, MOST_BLOCKS)
            self.kernels.launch("flow.cu", "warp_gradient", grid, dy, flow, out_x, *sizes, dtype=dy.dtype)
        if out_flow is not None and out_flow.size:
            count = out_flow.size // 2
            arrays = dy, x, flow, out_flow
            self.kernels.launch(
                "flow.cu", "flow_gradient", blocks(count), *arrays, count, *x.shape[1:], dtype=dy.dtype
            )


def _run(kernels, kernel, out, *arguments):
    """One thread for each number of `out`."""
    kernels.launch("flow.cu", kernel, blocks(out.size), *arguments, dtype=out.dtype)
