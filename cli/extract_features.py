"""`layerforge extract_features`: what a trained net computes for data, into databases or files."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

from layerforge.cli import options
from layerforge.cli.flags import Command, UsageError
from layerforge.cli.progress import track
from layerforge.core.errors import NetError, did_you_mean
from layerforge.core.storage import HOST
from layerforge.net.net import Net
from layerforge.netdef.types import Phase


def run(args: SimpleNamespace) -> int:
    """Runs the batches and writes the blobs; says how many rows each has."""
    from layerforge.io.features import KINDS
    from layerforge.io.weights import load_weights
    from layerforge.net.build import build_net
    from layerforge.schema.read import read_net

    blobs, outputs, kind = args.blobs.split(","), args.outputs.split(","), args.db_type.lower()
    if kind not in KINDS:
        raise UsageError(f"DB_TYPE is one of {', '.join(KINDS)}, got {args.db_type!r}",
                         hint=did_you_mean(kind, KINDS))
    if len(blobs) != len(outputs) or len(set(outputs)) != len(outputs):
        raise UsageError(f"{len(blobs)} blobs need as many different outputs, got {args.outputs}")
    if not args.batches.isdigit() or int(args.batches) < 1:
        raise UsageError(f"BATCHES is a number from 1, got {args.batches!r}")
    with options.limited(args.threads):
        backend = options.backend(args.gpu or _device(args), args.cpu)
        net = build_net(read_net(args.model), Phase.TEST, level=args.level, stages=options.names(args.stage),
                        backend=backend)
        with contextlib.closing(net):
            for name in blobs:
                if name not in net.blobs:
                    raise NetError(f"{args.model}: there is no blob {name!r} in the TEST net",
                                   hint=did_you_mean(name, net.blobs) or f"it has {', '.join(list(net.blobs)[:20])}")
            load_weights(net, args.weights)
            for output, name, rows in zip(outputs, blobs, extract(net, blobs, outputs, int(args.batches), kind)):
                print(f"{output}: {rows:,} rows of {name}")
    return 0


def extract(net: Net, blobs: list[str], outputs: list[str], batches: int, kind: str) -> list[int]:
    """Runs the batches and writes the blobs; returns the rows of each. At the end all outputs are there, or none."""
    from layerforge.io.features import feature_file

    rows = [0] * len(blobs)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(feature_file(output, kind, name)) for output, name in zip(outputs, blobs)]
        for _ in track(range(batches), "batches", batches, every=100):
            net.forward()
            for i, (name, append) in enumerate(zip(blobs, files)):
                blob = net.blobs[name]
                values = blob.data.array(HOST).reshape(blob.shape or (1,))
                append(values)
                rows[i] += len(values)
    return rows


def _device(args: SimpleNamespace) -> str:
    """Caffe's positional CPU or GPU [DEVICE_ID], as the text of --gpu."""
    if args.device not in (None, "CPU", "GPU"):
        raise UsageError(f"the device is CPU or GPU, got {args.device!r}")
    return args.device_id or "0" if args.device == "GPU" else ""


command = Command(
    "extract_features", "writes what a trained net computes into databases or files", run,
    (options.GPU, options.CPU, options.THREADS, options.LEVEL, options.STAGE),
    arguments=("WEIGHTS", "MODEL", "BLOBS", "OUTPUTS", "BATCHES", "DB_TYPE", "[DEVICE]", "[DEVICE_ID]"),
    details=("BLOBS and OUTPUTS are equally long lists with commas. DB_TYPE: lmdb, leveldb, hdf5 or npy. MODEL has\n"
             "its own data layer, which runs in the TEST phase; BATCHES counts its batches. DEVICE is CPU or GPU."),
    examples=(("layerforge extract_features lenet.caffemodel lenet.prototxt ip1,ip2 ip1_lmdb,ip2_lmdb 100 lmdb",
               "two databases of 100 batches each"),
              ("layerforge extract_features lenet.caffemodel lenet.prototxt ip1 ip1.npy 100 npy", "one NumPy file")),
)
