"""Old texts → the format of today: V0 → V1 → V2, transform fields, `input:` fields, BatchNorm's specs, solver_type.

Each step takes a tree and returns a tree. Source: Caffe's upgrade_proto.cpp
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from layerforge.core.errors import PrototxtError
from layerforge.netdef.types import Field, Fields
from layerforge.schema.upgrade_v0 import upgrade_v0

log = logging.getLogger("layerforge")

TYPES = {
    "NONE": "", "ABSVAL": "AbsVal", "ACCURACY": "Accuracy", "ARGMAX": "ArgMax", "BNLL": "BNLL", "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss", "CONVOLUTION": "Convolution", "DECONVOLUTION": "Deconvolution",
    "DATA": "Data", "DROPOUT": "Dropout", "DUMMY_DATA": "DummyData", "EUCLIDEAN_LOSS": "EuclideanLoss",
    "ELTWISE": "Eltwise", "EXP": "Exp",
    "FLATTEN": "Flatten", "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output", "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col", "IMAGE_DATA": "ImageData", "INFOGAIN_LOSS": "InfogainLoss", "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN", "MEMORY_DATA": "MemoryData", "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss", "MVN": "MVN",
    "POOLING": "Pooling", "POWER": "Power", "RELU": "ReLU", "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss", "SILENCE": "Silence", "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss", "SPLIT": "Split", "SLICE": "Slice", "TANH": "TanH", "WINDOW_DATA": "WindowData",
    "THRESHOLD": "Threshold",
}
"""The second format's types → today's."""

SOLVER_TYPES = {"SGD": "SGD", "NESTEROV": "Nesterov", "ADAGRAD": "AdaGrad", "RMSPROP": "RMSProp",
                "ADADELTA": "AdaDelta", "ADAM": "Adam", "SAG": "SAG"}

_TRANSFORM = ("scale", "mean_file", "crop_size", "mirror")
_DATA = {"DATA": "data_param", "IMAGE_DATA": "image_data_param", "WINDOW_DATA": "window_data_param"}
_SPECS = {"param": "name", "blob_share_mode": "share_mode", "blobs_lr": "lr_mult", "weight_decay": "decay_mult"}


def upgrade_net(net: Fields, file: str = "") -> Fields:
    """The net in the format of today; one warning names what was old.

    Raises PrototxtError for a mixture of formats, or old fields that have no meaning.
    """
    done = []
    for what, is_old, change in NET_STEPS:
        if is_old(net):
            net = change(net)
            done.append(what)
    if done:
        log.warning("%s is of an old format, upgraded while reading: %s", file or "the net", ", ".join(done))
    return net


def upgrade_solver(solver: Fields, file: str = "") -> Fields:
    """solver_type → type, and the nets inside.

    Raises PrototxtError when both are set.
    """
    made = dict(solver)
    for name in ("net_param", "train_net_param"):
        if name in made:
            made[name] = Field(upgrade_net(made[name].value, file), made[name].where)
    if "test_net_param" in made:
        nets = tuple(Field(upgrade_net(net.value, file), net.where) for net in made["test_net_param"].value)
        made["test_net_param"] = Field(nets, made["test_net_param"].where)
    if "solver_type" not in made:
        return made
    old = made.pop("solver_type")
    if "type" in made:
        raise PrototxtError("type and the older solver_type cannot both be given", where=old.where,
                            hint="remove solver_type")
    log.warning("%s is of an old format, upgraded while reading: solver_type is now type: %r", file or "the solver",
                SOLVER_TYPES[old.value])
    return {**made, "type": Field(SOLVER_TYPES[old.value], old.where)}


def _all(fields: Fields, name: str) -> tuple[Field, ...]:
    return fields[name].value if name in fields else ()


def _each(net: Fields, name: str, change: Callable[[Fields], Fields]) -> Fields:
    changed = tuple(Field(change(each.value), each.where) for each in net[name].value)
    return {**net, name: Field(changed, net[name].where)}


def _has_transform(layer: Fields) -> bool:
    message = _DATA.get(layer["type"].value) if "type" in layer else None
    return message in layer and any(name in layer[message].value for name in _TRANSFORM)  # type: ignore[index]


def _move_transform(layer: Fields) -> Fields:
    """scale, mean_file, crop_size, mirror: from the data layer's message to transform_param."""
    if not _has_transform(layer):
        return layer
    message = _DATA[layer["type"].value]
    own = layer[message]
    moved = {name: own.value[name] for name in _TRANSFORM if name in own.value}
    old = layer.get("transform_param", Field({}, own.where))
    rest = {name: value for name, value in own.value.items() if name not in _TRANSFORM}
    return {**layer, message: Field(rest, own.where), "transform_param": Field({**old.value, **moved}, old.where)}


def upgrade_v1(net: Fields) -> dict[str, Field]:
    """`layers` with enum types and lists of multipliers → `layer`."""
    if "layer" in net:
        raise PrototxtError("the net has both `layer` and the older `layers`", where=net["layers"].where,
                            hint="write all of them as layer { type: \"…\" }")
    layers = tuple(Field(_v1_layer(each.value), each.where) for each in net["layers"].value)
    made = {name: value for name, value in net.items() if name != "layers"}
    return {**made, "layer": Field(layers, net["layers"].where)}


def _v1_layer(old: Fields) -> dict[str, Field]:
    made = {name: value for name, value in old.items() if name not in _SPECS and name not in ("type", "layer")}
    if "type" in old:
        made["type"] = Field(TYPES[old["type"].value], old["type"].where)
    count = max((len(old[name].value) for name in _SPECS if name in old), default=0)
    specs: list[dict[str, Field]] = [{} for _ in range(count)]
    for name, new in _SPECS.items():
        for spec, value in zip(specs, _all(old, name)):
            spec[new] = value
    if specs:
        where = next(old[name].where for name in _SPECS if name in old)
        places = [next(iter(spec.values())).where if spec else where for spec in specs]
        made["param"] = Field(tuple(Field(spec, place) for spec, place in zip(specs, places)), where)
    return made


def upgrade_inputs(net: Fields) -> dict[str, Field]:
    """input, input_shape, input_dim → a first layer of type Input."""
    names = net["input"]
    shapes, dims = _all(net, "input_shape"), _all(net, "input_dim")
    made = {name: value for name, value in net.items() if name not in ("input", "input_shape", "input_dim")}
    if not shapes and not dims:
        raise PrototxtError(f"input {names.value[0].value!r} has no shape", where=names.where,
                            hint="add input_shape { dim: … } for each input")
    if (len(shapes) if shapes else len(dims) / 4) != len(names.value):
        got = f"{len(shapes)} input_shape" if shapes else f"{len(dims)} input_dim"
        raise PrototxtError(f"{len(names.value)} inputs, but {got}", where=names.where,
                            hint="each input has one input_shape, or four input_dim")
    if not shapes:
        groups = [dims[i : i + 4] for i in range(0, len(dims), 4)]
        shapes = tuple(Field({"dim": Field(group, group[0].where)}, group[0].where) for group in groups)
    where = names.where
    layer = {"name": Field("input", where), "type": Field("Input", where), "top": names,
             "input_param": Field({"shape": Field(shapes, shapes[0].where)}, shapes[0].where)}
    return {**made, "layer": Field((Field(layer, where), *_all(net, "layer")), where)}


def _is_old_batch_norm(layer: Fields) -> bool:
    if "type" not in layer or layer["type"].value != "BatchNorm" or len(_all(layer, "param")) != 3:
        return False
    return any(spec.value[name].value != 0 if name in spec.value else True
               for spec in _all(layer, "param") for name in ("lr_mult", "decay_mult"))


def _still_batch_norm(layer: Fields) -> Fields:
    """Three specs of BatchNorm: mean, variance and factor are never learned."""
    if not _is_old_batch_norm(layer):
        return layer
    specs = tuple(Field({**s.value, "lr_mult": Field(0.0, s.where), "decay_mult": Field(0.0, s.where)}, s.where)
                  for s in layer["param"].value)
    return {**layer, "param": Field(specs, layer["param"].where)}


NET_STEPS: tuple[tuple[str, Callable[[Fields], bool], Callable[[Fields], Fields]], ...] = (
    ("layers of the first format (V0)",
     lambda net: any("layer" in layer.value for layer in _all(net, "layers")), upgrade_v0),
    ("transform fields outside transform_param",
     lambda net: any(_has_transform(layer.value) for layer in _all(net, "layers")),
     lambda net: _each(net, "layers", _move_transform)),
    ("layers of the second format (V1)", lambda net: "layers" in net, upgrade_v1),
    ("input fields instead of an Input layer", lambda net: "input" in net, upgrade_inputs),
    ("learning rates of BatchNorm's statistics",
     lambda net: any(_is_old_batch_norm(layer.value) for layer in _all(net, "layer")),
     lambda net: _each(net, "layer", _still_batch_norm)),
)
"""What may be old, how to tell, and what to do; in this order."""
