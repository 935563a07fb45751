"""`layerforge train`: trains or fine-tunes."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from types import SimpleNamespace

from layerforge.cli import options
from layerforge.cli.display import Display
from layerforge.cli.flags import Command, Flag, UsageError
from layerforge.cli.log import Log
from layerforge.netdef.types import SolverDef
from layerforge.solver.caffe_log import CaffeLog
from layerforge.solver.interrupt import Interrupts
from layerforge.solver.loop import Solver
from layerforge.solver.observer import Observer, Observers
from layerforge.solver.params import SolverParams
from layerforge.solver.snapshot import Prefix


def run(args: SimpleNamespace) -> int:
    """Reads the solver and trains; the exit code is 143 after SIGTERM."""
    from layerforge.schema.read import read_solver

    path = options.need(args.solver, "solver", "the solver to train with")
    if args.snapshot and args.weights:
        raise UsageError("--snapshot and --weights exclude each other",
                         hint="resume from a state, or fine-tune weights")
    return train(read_solver(path), args)


def train(definition: SolverDef, args: SimpleNamespace) -> int:
    """Trains with a live display on a terminal, with Caffe's lines on standard error elsewhere."""
    params = SolverParams.from_definition(definition)
    watched = sys.stderr.isatty()
    log = Log(args.log or (log_name(params, definition) if watched else ""), echo=not watched)
    with log, options.limited(args.threads), contextlib.ExitStack() as stack:
        backend = options.backend(args.gpu, args.cpu, params)
        log.line("caffe.cpp:197", options.device_line(backend))
        observer: Observer = CaffeLog(log)
        if watched:
            observer = Observers(observer, stack.enter_context(Display()))
        solver = Solver(definition, backend=backend, level=args.level, stages=options.names(args.stage),
                        weights=_weights(args), observer=observer, allow_nan=args.allow_nan, keep="outputs",
                        compute_type=args.compute_type)
        stack.callback(solver.close)
        interrupts = stack.enter_context(Interrupts(args.sigint_effect, args.sighup_effect))
        solver.requests = interrupts.take
        log.line("caffe.cpp:239", "Starting Optimization")
        solver.solve(args.snapshot or None)
        if not solver.stopped:
            log.line("caffe.cpp:250", "Optimization Done.")
    if watched:
        print(f"log: {os.path.abspath(log.path)}", file=sys.stderr)
    return interrupts.exit_code


def log_name(params: SolverParams, definition: SolverDef) -> str:
    """Beside the snapshots, named by the moment."""
    prefix = Prefix(params, definition.file)
    return f"{prefix.path(prefix.given)}_{time.strftime('%Y%m%d-%H%M%S')}.log"


def _weights(args: SimpleNamespace) -> list[str] | None:
    """What replaces the weights the solver names: nothing when resuming, None to leave them."""
    if args.snapshot:
        return []
    return [args.weights] if args.weights else None


command = Command(
    "train", "trains a net, or goes on, or fine-tunes", run,
    (*options.CAFFE, options.CPU, options.THREADS, options.COMPUTE_TYPE, options.LOG,
     Flag("allow_nan", bool, False, "goes on when the loss is not a number")),
    examples=(
        ("layerforge train --solver solver.prototxt", "trains until max_iter"),
        ("layerforge train --solver solver.prototxt --snapshot lenet_iter_5000.solverstate", "goes on from there"),
        ("layerforge train --solver solver.prototxt --weights lenet.caffemodel", "fine-tunes these weights"),
    ),
)
