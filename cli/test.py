"""`layerforge test`: scores a net with trained weights."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from types import SimpleNamespace

from layerforge.cli import options
from layerforge.cli.flags import Command
from layerforge.cli.log import Log
from layerforge.net.net import Net
from layerforge.netdef.types import Phase
from layerforge.solver.observer import Output, outputs_of


def run(args: SimpleNamespace) -> int:
    """Runs the batches and prints Caffe's lines: each batch, then the means."""
    model = options.need(args.model, "model", "the net to score")
    weights = options.need(args.weights, "weights", "the trained weights")
    from layerforge.io.weights import load_weights
    from layerforge.net.build import build_net

    with Log(args.log, echo=True) as log, options.limited(args.threads):
        backend = options.backend(args.gpu, args.cpu)
        log.line("caffe.cpp:275", options.device_line(backend))
        stages = options.names(args.stage)
        net = build_net(options.net(model, args.compute_type), Phase.TEST, level=args.level, stages=stages,
                        backend=backend, keep="outputs", backward=False)
        with contextlib.closing(net):
            for path in options.names(weights):
                load_weights(net, path)
            log.line("caffe.cpp:281", f"Running for {args.iterations} iterations.")
            score(net, args.iterations, log)
    return 0


def score(net: Net, iterations: int, log: Log) -> None:
    """Runs the batches; prints every output value of each, and the means."""
    loss = 0.0
    sums: dict[int, float] = defaultdict(float)
    outputs: list[Output] = []
    for batch in range(iterations):
        loss += net.forward()
        outputs = list(outputs_of(net))
        for output in outputs:
            sums[output.index] += output.value
            log.line("caffe.cpp:304", f"Batch {batch}, {output.name} = {output.value:g}")
    log.line("caffe.cpp:309", f"Loss: {loss / iterations:g}")
    for output in outputs:
        mean = sums[output.index] / iterations
        weighted = f" (* {output.weight:g} = {output.weight * mean:g} loss)" if output.weight else ""
        log.line("caffe.cpp:321", f"{output.name} = {mean:g}{weighted}")


command = Command(
    "test", "scores a net with trained weights", run,
    (*options.CAFFE, options.CPU, options.THREADS, options.COMPUTE_TYPE, options.LOG),
    examples=(("layerforge test --model train_val.prototxt --weights lenet_iter_10000.caffemodel --iterations 100",
               "the mean accuracy and loss of 100 batches"),),
)
