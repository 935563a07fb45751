"""What `time --explain` prints: who runs which layers, by which kernels, how fast, and what the machine would give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from layerforge.cli.report import Table, tables
from layerforge.cli.timing import Timing
from layerforge.engines.lowering import Speeds
from layerforge.graph.explain import StepRow, explain, machine_speeds
from layerforge.net.net import Net

COLUMNS = ("layers", "engine", "forward ms", "backward ms", "GFLOP/s", "GB/s", "of peak", "kernel", "layouts",
           "conversions", "refused")


class Measured(NamedTuple):
    """A net and how long its steps took."""

    net: Net
    timing: Timing


@tables("explain")
def choices(measured: Measured) -> Table:
    """A row per step, and one per kernel of it.

    of peak  products: their operations per second, of those that a large product of matrices reaches here; others:
             the bytes per second that they read and write, of those that a copy in memory reaches; more than all of it
             where values are still in the cache
    """
    net, timing = measured
    speeds = machine_speeds(net.plan)
    body = [line for row in explain(net.plan, net.layers) for line in _lines(row, timing, speeds)]
    return Table(f"who runs which layers, how fast, and why no other engine does{_said(speeds)}", COLUMNS, body)


def _said(speeds: Speeds | None) -> str:
    if speeds is None:
        return ""
    products = ", ".join(f"{kind} {flops / 1e9:,.0f} GFLOP/s" for kind, flops in speeds.flops.items())
    return f"\nthis machine: products {products}; memory {speeds.nbytes / 1e9:,.0f} GB/s"


def _lines(row: StepRow, timing: Timing, speeds: Speeds | None) -> Iterator[tuple[str, ...]]:
    took = timing.layers[row.index]
    seconds = (took.forward_ms + took.backward_ms) / 1e3
    rates = efficiency(row, took.forward_ms / 1e3, took.backward_ms / 1e3, speeds)
    refused = "; ".join(f"{refusal.engine}: {refusal.reason}" for refusal in row.refusals)
    moved = f"{took.copies:,.0f} of {took.copied_bytes / 2**20:,.1f} MiB" if took.copies else ""
    ms = [f"{value:.3f}" if seconds else "" for value in (took.forward_ms, took.backward_ms)]
    yield ", ".join(row.layers), row.engine, *ms, *rates, "", "", moved, refused
    for kernel in row.kernels:
        layouts = " ".join(f"{name}:{layout}" for name, layout in kernel.layouts)
        yield f"  {kernel.run}", "", "", "", "", "", "", f"{kernel.name} ({kernel.impl})", layouts, "", ""


def efficiency(row: StepRow, forward: float, backward: float, speeds: Speeds | None) -> tuple[str, str, str]:
    """GFLOP/s, GB/s and the share of the machine's, of both passes together; "" where nothing is known.

    forward, backward  seconds
    """
    seconds = forward + (backward if row.backward_nbytes else 0)
    if seconds <= 0 or row.engine == "layer":
        return "", "", ""
    flops = (row.flops + (row.backward_flops if backward else 0)) / seconds
    nbytes = (row.nbytes + (row.backward_nbytes if backward else 0)) / seconds
    if not nbytes:
        return "", "", ""
    peak = (speeds.flops.get(row.compute_type, 0.0) if row.is_product else speeds.nbytes) if speeds else 0.0
    share = f"{(flops if row.is_product else nbytes) / peak:.0%}" if peak else ""
    return f"{flops / 1e9:,.1f}" if row.is_product else "", f"{nbytes / 1e9:,.1f}", share
