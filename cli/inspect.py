"""`layerforge inspect`: what is in a file or database; of a net a table of its layers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace

from layerforge.cli import contents, options
from layerforge.cli.contents import by
from layerforge.cli.flags import Command, Flag
from layerforge.cli.report import Table, listing
from layerforge.core.errors import DataError
from layerforge.graph.figures import layer_figures, totals
from layerforge.net.net import Net
from layerforge.netdef.types import NetDef, Phase


def run(args: SimpleNamespace) -> int:
    """Prints what is there."""
    from layerforge.io.kinds import KINDS, kind_of

    kind = kind_of(args.file)
    print(f"{args.file}: {KINDS[kind]}\n")
    parts = net_parts(args) if kind == "net" else contents.PARTS[kind](args.file, args.records)
    print("\n\n".join(str(part) for part in parts))
    return 0


def net_parts(args: SimpleNamespace) -> Iterator[str | Table]:
    """The summary of a net: a row per layer, and totals. Without its data, the layers as the text has them."""
    from layerforge.net.build import build_net
    from layerforge.netdef.filter import filter_net
    from layerforge.netdef.types import NetState
    from layerforge.schema.read import read_net

    definition, phase, stages = read_net(args.file), Phase[args.phase or "TEST"], options.names(args.stage)
    try:
        net = build_net(definition, phase, level=args.level, stages=stages, engines=())
    except DataError as error:
        yield wiring(filter_net(definition, NetState(phase, args.level, stages)))
        yield f"shapes are not known, since its data is not there: {error}"
        return
    with contextlib.closing(net):
        yield summary(net)
        yield memory(net)


def summary(net: Net) -> Table:
    """A row per layer: what it makes, holds and computes for one batch."""
    rows = [row for row in layer_figures(net.graph, net.layers, net.blob_list) if row.type != "Split"]
    whole = totals(rows)
    body = [(row.name, row.type, " ".join(by(shape) for shape in row.tops) or "-", some(row.parameters),
             some(row.statistics), some(row.macs)) for row in rows]
    columns = ("layer", "type", "tops", "parameters", "statistics", "MACs")
    keep = [i for i in range(6) if i != 4 or whole.statistics]
    footer = ("all layers", "", "", some(whole.parameters), some(whole.statistics), some(whole.macs))
    return Table(f"{net.name or 'net'}, {net.phase.name}", tuple(columns[i] for i in keep),
                 [[row[i] for i in keep] for row in body], [[footer[i] for i in keep]])


def memory(net: Net) -> str:
    """What its values take while all are kept; gradients as much again."""
    batch = {id(blob.data): blob.data.nbytes for blob in net.blob_list}
    held = {id(blob.data): blob.data.nbytes for blobs in net.params.values() for blob in blobs}
    return listing([
        ("inputs", ", ".join(f"{name} {by(net.blobs[name].shape)}" for name in net.inputs) or "-"),
        ("outputs", ", ".join(f"{name} {by(net.blobs[name].shape)}" for name in net.outputs) or "-"),
        ("parameters", contents.size(sum(held.values()))),
        ("values of a batch", contents.size(sum(batch.values()))),
        ("scratch", contents.size(net.workspace.nbytes))])


def wiring(net: NetDef) -> Table:
    """Layers with their bottoms and tops."""
    body = [(each.name, each.type, " ".join(each.bottoms) or "-", " ".join(each.tops) or "-") for each in net.layers]
    return Table(net.name or "net", ("layer", "type", "bottoms", "tops"), body)


def some(count: int) -> str:
    """A count, or a dash for none."""
    return f"{count:,}" if count else "-"


command = Command(
    "inspect", "what is in a net, solver, weights, state, mean file, database, HDF5, .npy or ONNX file", run,
    (options.PHASE, options.LEVEL, options.STAGE,
     Flag("records", int, 1000, "of a database, how many records are read", "N", least=1)),
    arguments=("FILE",),
    details="The content tells the kind, not the name. Multiply-accumulates (MACs) are those of a whole batch.",
    examples=(("layerforge inspect zoo/lenet/deploy.prototxt", "a table: layers, shapes, parameters, MACs"),
              ("layerforge inspect lenet_iter_10000.caffemodel", "the blobs of every layer, the range of their values"),
              ("layerforge inspect mnist_train_lmdb", "records, their shapes and labels")),
)
