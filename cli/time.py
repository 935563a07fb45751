"""`layerforge time`: how long each layer takes, forward and backward; with a solver, whole training iterations."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from types import SimpleNamespace

from layerforge.cli import options
from layerforge.cli.efficiency import Measured
from layerforge.cli.flags import Command, Flag, UsageError
from layerforge.cli.log import Log
from layerforge.cli.report import Table, collect_tables, tables
from layerforge.cli.timing import Timing, measure, measure_sources, measure_training, spread
from layerforge.cli.trace import Trace
from layerforge.core.files import replacing
from layerforge.core.storage import Storage
from layerforge.net.footprint import Footprint, footprint
from layerforge.net.net import Net
from layerforge.netdef.types import Phase
from layerforge.solver.loop import Solver
from layerforge.solver.params import SolverParams


@tables("time")
def layer_table(timing: Timing) -> Table:
    """A row per layer with its share of forward and backward together."""
    whole = timing.forward_ms + timing.backward_ms or 1.0
    body = [(layer.name, layer.type, layer.engine, _ms(layer.forward_ms), _ms(layer.backward_ms),
             f"{(layer.forward_ms + layer.backward_ms) / whole:.1%}") for layer in timing.layers]
    footer = [("all layers", "", "", _ms(timing.forward_ms), _ms(timing.backward_ms), "100.0%")]
    return Table(f"{timing.net or 'net'}: mean of {timing.iterations} iterations", _COLUMNS, body, footer)


_COLUMNS = ("layer", "type", "engine", "forward ms", "backward ms", "share")


@tables("time")
def totals(timing: Timing) -> Table:
    """Whole passes and, with a solver, whole training iterations."""
    rows = [("forward + backward", timing.iteration_ms, timing.batch)]
    if timing.training_ms:
        rows.append(("training iteration", timing.training_ms, timing.batch * timing.iter_size))
    body = []
    for label, values, images in rows:
        s = spread(values)
        rate = f"{images / s['mean'] * 1e3:,.0f}" if images else "-"
        body.append((label, _ms(s["mean"]), _ms(s["median"]), _ms(s["min"]), _ms(s["max"]), rate))
    if timing.training_ms:
        body.append(("  of it update", _ms(timing.update_ms), "-", "-", "-", "-"))
    footer = []
    if timing.copies:
        size = f"{timing.copied_bytes / 2**20:,.1f} MiB"
        footer = [(f"an iteration copies {size} between layouts, {timing.copies:,.0f} times", "", "", "", "", "")]
    return Table("", ("", "mean ms", "median", "least", "greatest", "images/s"), body, footer)


@tables("time")
def sources(timing: Timing) -> Table | None:
    """What the data layers deliver alone, and whether the net waited for them."""
    if not timing.sources:
        return None
    body = [(each.name, each.type, f"{each.batch:,}", str(each.threads), _ms(each.alone_ms),
             f"{each.batch / each.alone_ms * 1e3:,.0f}", f"{each.waits:,}", _ms(each.waited_ms))
            for each in timing.sources]
    title = "the net never waited for its data"
    if any(each.waits for each in timing.sources):
        waited = sum(each.waited_ms for each in timing.sources)
        title = f"the net waited for its data {waited / max(sum(timing.iteration_ms), 1e-9):.1%} of the time"
    return Table(title, ("data layer", "type", "batch", "threads", "ms alone", "images/s alone", "waits", "waited ms"),
                 body)


@tables("memory")
def memory(found: Footprint) -> Table:
    """What an iteration holds, and what packing saves."""
    body = [(label, f"{size / 2**20:,.1f}") for label, size in found.rows()]
    return Table("memory of an iteration, before any is taken", ("", "MiB"), body[:-1], body[-1:])


def _ms(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def run(args: SimpleNamespace) -> int:
    """Measures and prints."""
    if bool(args.model) == bool(args.solver):
        raise UsageError("time needs --model FILE or --solver FILE, one of them")
    log = Log(args.log)
    with log, options.limited(args.threads):
        timing = _time_solver(args, log) if args.solver else _time_net(args, log)
        _caffe_lines(log, timing)
    print("\n\n".join(map(str, collect_tables("time", timing))))
    if args.json:
        with replacing(args.json) as path, open(path, "w", encoding="utf-8") as file:
            json.dump(timing.figures(), file, indent=1)
            file.write("\n")
    return 0


def _time_net(args: SimpleNamespace, log: Log) -> Timing:
    from layerforge.net.build import build_net

    backend = options.backend(args.gpu, args.cpu)
    log.line("caffe.cpp:343", options.device_line(backend))
    phase = Phase[args.phase or "TRAIN"]
    net = build_net(options.net(args.model, args.compute_type), phase, level=args.level,
                    stages=options.names(args.stage), backend=backend, keep="outputs")
    with contextlib.closing(net):
        return _passes(net, args, log)


def _time_solver(args: SimpleNamespace, log: Log) -> Timing:
    from layerforge.schema.read import read_solver

    definition = read_solver(args.solver)
    backend = options.backend(args.gpu, args.cpu, SolverParams.from_definition(definition))
    log.line("caffe.cpp:343", options.device_line(backend))
    solver = Solver(definition, backend=backend, level=args.level, stages=options.names(args.stage), keep="outputs",
                    compute_type=args.compute_type)
    with contextlib.closing(solver):
        timing = _passes(solver.net, args, log, solver.updater.history)
        measure_training(solver, args.iterations, timing)
    return timing


def _passes(net: Net, args: SimpleNamespace, log: Log, history: Sequence[Storage] = ()) -> Timing:
    """One pass to warm up, then the measured ones."""
    found = footprint(net, history) if args.memory else None
    if found is not None:
        print("\n\n".join(map(str, collect_tables("memory", found))), end="\n\n")
    net.clear_gradients()
    log.line("caffe.cpp:351", "Performing Forward")
    log.line("caffe.cpp:356", f"Initial loss: {net.forward():g}")
    log.line("caffe.cpp:357", "Performing Backward")
    net.backward()
    log.line("caffe.cpp:365", "*** Benchmark begins ***")
    log.line("caffe.cpp:366", f"Testing for {args.iterations} iterations.")

    def passes() -> Timing:
        return measure(net, args.iterations, lambda i, ms: log.line(
            "caffe.cpp:394", f"Iteration: {i + 1} forward-backward time: {ms:g} ms."))

    with Trace(net) if args.profile else contextlib.nullcontext() as trace:
        timing = measure_sources(net, args.iterations, passes) if args.data else passes()
    if trace is not None:
        trace.write(args.profile)
        print(f"trace of {len(trace.events):,} steps: {args.profile} (ui.perfetto.dev opens it)\n")
    if args.explain:
        print("\n\n".join(map(str, collect_tables("explain", Measured(net, timing)))), end="\n\n")
    timing.memory = dict(found.rows()) if found else {}
    return timing


def _caffe_lines(log: Log, timing: Timing) -> None:
    """The lines that Caffe ends with."""
    log.line("caffe.cpp:397", "Average time per layer: ")
    for layer in timing.layers:
        log.line("caffe.cpp:400", f"{layer.name:>10}\tforward: {layer.forward_ms:g} ms.")
        log.line("caffe.cpp:403", f"{layer.name:>10}\tbackward: {layer.backward_ms:g} ms.")
    log.line("caffe.cpp:408", f"Average Forward pass: {timing.forward_ms:g} ms.")
    log.line("caffe.cpp:410", f"Average Backward pass: {timing.backward_ms:g} ms.")
    mean = spread(timing.iteration_ms)["mean"]
    log.line("caffe.cpp:412", f"Average Forward-Backward: {mean:g} ms.")
    log.line("caffe.cpp:414", f"Total Time: {mean * timing.iterations:g} ms.")
    log.line("caffe.cpp:415", "*** Benchmark ends ***")


command = Command(
    "time", "times each layer forward and backward, or whole training iterations", run,
    (*options.CAFFE, options.CPU, options.THREADS, options.COMPUTE_TYPE, options.LOG,
     Flag("json", str, "", "writes the figures to this file", "FILE"),
     Flag("profile", str, "", "writes when each step ran, as a trace that Perfetto opens", "FILE"),
     Flag("data", bool, False, "times the data layers alone, and tells whether the net waits for them"),
     Flag("explain", bool, False, "tells which engine runs each layer, how fast, and why others do not"),
     Flag("memory", bool, False, "tells how much memory an iteration takes, for what, and what packing saves")),
    examples=(("layerforge time --model net.prototxt --iterations 20", "a table of layers, in the TRAIN phase"),
              ("layerforge time --solver solver.prototxt --iterations 20", "training iterations with their update"),
              ("layerforge time --data --solver solver.prototxt", "whether reading the data keeps up with the net"),
              ("layerforge time --memory --solver solver.prototxt", "what the memory of an iteration goes to"),
              ("layerforge time --profile trace.json --model net.prototxt", "every step of the passes on a time line"),
              ("layerforge time --model net.prototxt --phase TEST --json times.json", "figures for another program")),
)
