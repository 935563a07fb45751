"""`layerforge export`: a net as ONNX, or weights in another format."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

from layerforge.cli import options
from layerforge.cli.flags import Command, Flag, UsageError

WEIGHTS = (".caffemodel", ".h5", ".hdf5", ".safetensors")


def run(args: SimpleNamespace) -> int:
    """Writes the file that --to names; its ending tells the format."""
    target = options.need(args.to, "to", "the file to write: .onnx, .safetensors, .caffemodel or .caffemodel.h5")
    if target.endswith(".onnx"):
        if args.net is None:
            raise UsageError("an ONNX file needs a net",
                             hint="layerforge export net.prototxt --weights W --to net.onnx")
        return to_onnx(args)
    if not target.endswith(WEIGHTS):
        raise UsageError(f"--to names a file of a kind that is not written: {target}",
                         hint=f"the endings are .onnx, {', '.join(WEIGHTS)}")
    options.need(args.weights, "weights", "the file to convert")
    return to_weights(args)


def build(args: SimpleNamespace) -> Any:
    """The net with its weights."""
    from layerforge.io.weights import load_weights
    from layerforge.net.build import build_net
    from layerforge.netdef.types import Phase
    from layerforge.schema.read import read_net

    phase = Phase[args.phase or "TEST"]
    net = build_net(read_net(args.net), phase, level=args.level, stages=options.names(args.stage), engines=())
    for path in options.names(args.weights):
        load_weights(net, path)
    return net


def to_onnx(args: SimpleNamespace) -> int:
    """Writes ONNX and says what is in it."""
    from layerforge.io.onnx.export import export_onnx

    net = build(args)
    if not args.weights and net.params:
        print("layerforge: without --weights the parameters are random", file=sys.stderr)
    model = export_onnx(net, args.to, opset=args.opset, folded=args.fold, dynamic_batch=args.dynamic_batch,
                        outputs=options.names(args.outputs))
    print(f"{args.to}: {len(model.graph.node)} nodes, opset {args.opset}, {os.path.getsize(args.to) / 1e6:.1f} MB")
    for what, values in (("input", model.graph.input), ("output", model.graph.output)):
        for value in values:
            print(f"  {what:<6}  {value.name}  {_shape(value)}")
    return 0


def _shape(value: Any) -> str:
    dims = value.type.tensor_type.shape.dim
    return "×".join(dim.dim_param or (str(dim.dim_value) if dim.HasField("dim_value") else "?") for dim in dims)


def to_weights(args: SimpleNamespace) -> int:
    """Writes weights: those that a net takes, or without a net all that the file has."""
    from layerforge.io.weights import format_of, read_weights, save_weights, write_weights

    if args.net is not None:
        net = build(args)
        save_weights(net, args.to)
        count = len(net.params)
    else:
        paths = options.names(args.weights)
        if len(paths) > 1:
            raise UsageError("several weights need a net that takes them", hint="name the net's prototxt first")
        layers = read_weights(paths[0])
        write_weights(args.to, layers)
        count = sum(bool(layer.blobs) for layer in layers)
    print(f"{args.to}: the weights of {count} layers, {format_of(args.to)}, {os.path.getsize(args.to) / 1e6:.1f} MB")
    return 0


command = Command(
    "export", "writes a net as ONNX, or its weights in another format", run,
    (Flag("to", str, "", "the file to write: .onnx, .safetensors, .caffemodel or .caffemodel.h5", "FILE"),
     options.WEIGHTS,
     Flag("opset", int, 17, "ONNX: the version of the operators, 13 to 21", "N", least=13),
     Flag("fold", bool, True, "ONNX: BatchNorm and Scale become part of the weights below them; --nofold keeps them"),
     Flag("dynamic_batch", bool, False, "ONNX: the first axis may have any size"),
     Flag("outputs", str, "", "ONNX: the blobs that are wanted; without it those that no layer reads", "BLOBS"),
     options.PHASE, options.LEVEL, options.STAGE),
    arguments=("[NET]",),
    details="Losses and metrics are left out of ONNX files.\n"
            "The formats need: pip install 'layerforge[onnx]', pip install 'layerforge[safetensors]'.",
    examples=(("layerforge export zoo/lenet/deploy.prototxt --weights lenet_iter_10000.caffemodel --to lenet.onnx",
               "LeNet for ONNX Runtime and others"),
              ("layerforge export --weights lenet_iter_10000.caffemodel --to lenet.safetensors",
               "the same weights in safetensors, which --weights reads too")),
)
