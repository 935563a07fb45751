"""A net as an ONNX model. A net is anything with `name`, `graph`, `layers` and `blob_list`, as `net.Net` has them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from layerforge.core.errors import NetError, did_you_mean
from layerforge.core.files import replacing
from layerforge.core.storage import HOST
from layerforge.io.onnx import constants, linear, normalisation, pointwise, recurrent, shapes, spatial
from layerforge.io.onnx.fold import Folded, fold
from layerforge.io.onnx.graph import CONVERTERS, Builder, Call, Refused, package
from layerforge.io.onnx.select import Selection, select

OPSETS = (13, 21)  # the least and the most
DEFAULT_OPSET = 17
BATCH = "N"  # what a dynamic first axis is called
FAMILIES = (constants, linear, normalisation, pointwise, recurrent, shapes, spatial)  # they register the converters
_LIMIT = 2**31 - 1  # bytes of one protobuf message


def export_onnx(
    net: Any, path: str | os.PathLike[str], *, opset: int = DEFAULT_OPSET, folded: bool = True,
    dynamic_batch: bool = False, outputs: Sequence[str] = (),
) -> Any:
    """Writes the net as an ONNX file, and returns the model.

    Raises what `onnx_model` raises, and DataError when the file cannot be written.
    """
    model = onnx_model(net, opset=opset, folded=folded, dynamic_batch=dynamic_batch, outputs=outputs)
    with replacing(os.fspath(path)) as temporary, open(temporary, "wb") as file:
        file.write(model.SerializeToString())
    return model


def onnx_model(
    net: Any, *, opset: int = DEFAULT_OPSET, folded: bool = True, dynamic_batch: bool = False,
    outputs: Sequence[str] = (),
) -> Any:
    """The net in its phase as an onnx.ModelProto; losses and metrics are left out.

    opset          the version of the operators, 13 to 21
    folded         BatchNorm and Scale become part of the weights below them
    dynamic_batch  the first axis of inputs and outputs may have any size
    outputs        the blobs that are wanted; (): those that nobody reads

    Raises NetError naming every layer that ONNX cannot say, or a blob that does not exist; DeviceError without onnx.
    """
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise NetError(f"opset {opset} is not between {OPSETS[0]} and {OPSETS[1]}")
    package()
    wanted = [_blob(net, name) for name in outputs]
    chosen = select(net, wanted)
    calls = [_call(net, i) if i in chosen.layers else None for i in range(len(net.layers))]
    plan = fold(net.graph, calls, set(chosen.outputs)) if folded else Folded()
    builder, values = _convert(net, chosen, calls, plan, Builder(opset, dynamic_batch, net.graph.blobs))
    return _model(net, chosen, builder, values)


def _blob(net: Any, name: str) -> int:
    if name not in net.graph.blobs:
        raise NetError(f"the net has no blob {name!r}", hint=did_you_mean(name, net.graph.blobs))
    return len(net.graph.blobs) - 1 - net.graph.blobs[::-1].index(name)


def _call(net: Any, index: int) -> Call:
    node, layer = net.graph.nodes[index], net.layers[index]
    bottoms, tops = (tuple(net.blob_list[b] for b in blobs) for blobs in (node.bottoms, node.tops))
    learned = [view.blob.data.array(HOST).reshape(view.blob.shape) for view in layer.blobs]
    blobs = tuple(values.astype(np.float32, copy=False) for values in learned)
    names = tuple(net.graph.blobs[b] for b in node.bottoms)
    return Call(layer, names, tuple(b.shape for b in bottoms), tuple(t.shape for t in tops), blobs, (bottoms, tops))


def _convert(
    net: Any, chosen: Selection, calls: Sequence[Call | None], plan: Folded, builder: Builder
) -> tuple[Builder, dict[int, str]]:
    """Runs the converters in order. Returns blob number → name of its value."""
    values = {blob: net.graph.blobs[blob] for blob in chosen.inputs}
    refused: list[str] = []
    for i, call in enumerate(calls):
        if call is None:
            continue
        node = net.graph.nodes[i]
        if i in plan.gone:
            values[node.tops[0]] = values[node.bottoms[0]]
            continue
        builder.scope = node.definition.name
        call = replace(call, x=tuple(values.get(b, "") for b in node.bottoms), blobs=plan.blobs.get(i, call.blobs))
        convert = CONVERTERS.get(node.definition.type)
        try:
            if convert is None:
                raise Refused("ONNX has no operator for it")
            tops = convert(builder, call)
        except Refused as reason:
            refused.append(f"{node.definition.where}: {node.definition}: {reason}")
            continue
        values.update(zip(node.tops, tops))
    if refused:
        raise _refusal(refused)
    _rename(net, builder, values, chosen)
    return builder, values


def _refusal(refused: Sequence[str]) -> NetError:
    hint = "--outputs ends the graph below them"
    if len(refused) == 1:
        return NetError(refused[0].removeprefix("None: "), hint=hint)
    rows = "".join(f"\n  {each.removeprefix('None: ')}" for each in refused)
    return NetError(f"{len(refused)} layers cannot be exported:{rows}", hint=hint)


def _rename(net: Any, builder: Builder, values: dict[int, str], chosen: Selection) -> None:
    """Gives values the names of the blobs they end up in, outputs first."""
    made = {name for node in builder.nodes for name in node[2]}
    for blob in (*chosen.outputs, *values):
        if blob not in chosen.inputs and values[blob] in made:
            builder.renamed.setdefault(values[blob], net.graph.blobs[blob])


def _model(net: Any, chosen: Selection, builder: Builder, values: dict[int, str]) -> Any:
    helper, numpy_helper, onnx = package("onnx.helper"), package("onnx.numpy_helper"), package()
    batches = {net.blob_list[b].shape[0] for b in chosen.inputs if net.blob_list[b].shape}

    def told(blob: int, name: str) -> Any:
        shape: list[Any] = list(net.blob_list[blob].shape)
        if builder.dynamic and shape and shape[0] in batches:
            shape[0] = BATCH
        free = blob in chosen.unsized
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None] * len(shape) if free else shape)

    outputs = []
    for blob in chosen.outputs:
        name = net.graph.blobs[blob]
        if builder.renamed.get(values[blob]) != name:  # an input, a constant, or another output's value
            builder.scope = name
            name = builder.fresh(f"{name}/output") if blob in chosen.inputs else name
            builder.nodes.append(("Identity", [values[blob]], [name], builder.fresh(f"{name}/Identity"), {}))
        outputs.append(told(blob, name))
    inputs = [told(blob, net.graph.blobs[blob]) for blob in chosen.inputs]
    nodes = builder.protos()
    used = _used(nodes)
    weights = [numpy_helper.from_array(array, name) for name, array in builder.constants.items() if name in used]
    if sum(array.nbytes for array in builder.constants.values()) > _LIMIT:
        raise NetError("the weights take more than 2 GB, which one ONNX file cannot hold")
    graph = helper.make_graph(nodes, net.name or "net", inputs, outputs, weights)
    opset = helper.make_opsetid("", builder.opset)
    model = helper.make_model(graph, opset_imports=[opset], producer_name="layerforge",
                              ir_version=helper.find_min_ir_version_for([opset]))
    onnx.checker.check_model(model)
    return model


def _used(nodes: Sequence[Any]) -> set[str]:
    """All names that nodes read, those within loops too."""
    found: set[str] = set()
    for node in nodes:
        found.update(node.input)
        for attribute in node.attribute:
            found |= _used(attribute.g.node)
    return found
