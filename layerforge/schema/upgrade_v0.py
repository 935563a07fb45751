"""The first format: layers whose parameters stand side by side, and layers of type "padding".

Source: Caffe's upgrade_proto.cpp
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from layerforge.core.errors import PrototxtError, did_you_mean
from layerforge.netdef.types import Field, Fields

log = logging.getLogger("layerforge")

TYPES = {
    "accuracy": "ACCURACY", "bnll": "BNLL", "concat": "CONCAT", "conv": "CONVOLUTION", "data": "DATA",
    "dropout": "DROPOUT", "euclidean_loss": "EUCLIDEAN_LOSS", "flatten": "FLATTEN", "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL", "images": "IMAGE_DATA", "infogain_loss": "INFOGAIN_LOSS", "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN", "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS", "pool": "POOLING", "relu": "RELU",
    "sigmoid": "SIGMOID", "softmax": "SOFTMAX", "softmax_loss": "SOFTMAX_LOSS", "split": "SPLIT", "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}

_CONV, _POOL, _IP, _LRN = "convolution_param", "pooling_param", "inner_product_param", "lrn_param"
_DATA, _H5, _IMAGE, _WINDOW = "data_param", "hdf5_data_param", "image_data_param", "window_data_param"
_SOURCES = {"data": _DATA, "hdf5_data": _H5, "images": _IMAGE, "window_data": _WINDOW}
_BOTH = {"conv": _CONV, "innerproduct": _IP}
_SPATIAL = {"conv": _CONV, "pool": _POOL}

MOVES: dict[str, tuple[str, Mapping[str, str]]] = {
    "num_output": ("num_output", _BOTH), "biasterm": ("bias_term", _BOTH),
    "weight_filler": ("weight_filler", _BOTH), "bias_filler": ("bias_filler", _BOTH),
    "pad": ("pad", _SPATIAL), "kernelsize": ("kernel_size", _SPATIAL), "stride": ("stride", _SPATIAL),
    "group": ("group", {"conv": _CONV}), "pool": ("pool", {"pool": _POOL}),
    "dropout_ratio": ("dropout_ratio", {"dropout": "dropout_param"}),
    "local_size": ("local_size", {"lrn": _LRN}), "alpha": ("alpha", {"lrn": _LRN}),
    "beta": ("beta", {"lrn": _LRN}), "k": ("k", {"lrn": _LRN}),
    "source": ("source", {**_SOURCES, "infogain_loss": "infogain_loss_param"}), "batchsize": ("batch_size", _SOURCES),
    "rand_skip": ("rand_skip", {"data": _DATA, "images": _IMAGE}), "shuffle_images": ("shuffle", {"images": _IMAGE}),
    "new_height": ("new_height", {"images": _IMAGE}), "new_width": ("new_width", {"images": _IMAGE}),
    "concat_dim": ("concat_dim", {"concat": "concat_param"}),
    "det_fg_threshold": ("fg_threshold", {"window_data": _WINDOW}),
    "det_bg_threshold": ("bg_threshold", {"window_data": _WINDOW}),
    "det_fg_fraction": ("fg_fraction", {"window_data": _WINDOW}),
    "det_context_pad": ("context_pad", {"window_data": _WINDOW}),
    "det_crop_mode": ("crop_mode", {"window_data": _WINDOW}),
}
"""Old field → its new name, and the message it moves to, by layer type."""

TRANSFORM = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}
_SAME = ("name", "blobs", "blobs_lr", "weight_decay")
_LISTS = {(_CONV, "pad"), (_CONV, "kernel_size"), (_CONV, "stride")}


def upgrade_v0(net: Fields) -> dict[str, Field]:
    """A net of the first format in the second one. Layers that are of the second format already stay."""
    layers = _without_padding(net["layers"].value)
    upgraded = tuple(Field(_layer(layer.value), layer.where) for layer in layers)
    return {**net, "layers": Field(upgraded, net["layers"].where)}


def _old(layer: Field) -> Fields:
    held: Fields = layer.value["layer"].value if "layer" in layer.value else {}
    return held


def _text(fields: Fields, name: str) -> str:
    return str(fields[name].value) if name in fields else ""


def _names(fields: Fields, name: str) -> list[str]:
    return [str(each.value) for each in fields[name].value] if name in fields else []


def _without_padding(layers: tuple[Field, ...]) -> list[Field]:
    """Gives each padding layer's `pad` to the layers that read it, and drops it."""
    padding: dict[str, Field | None] = {}  # blob → the padding layer that makes it at this place
    kept = []
    for layer in layers:
        old, fields = _old(layer), dict(layer.value)
        owner = f"layer {_text(old, 'name')!r} ({_text(old, 'type')})"
        source = next((padding[b] for b in _names(fields, "bottom") if padding.get(b)), None)
        if source is not None:
            if _text(old, "type") not in ("conv", "pool") or len(_names(fields, "bottom")) != 1:
                raise PrototxtError(f"{owner}: only conv and pool can read a padding layer", where=layer.where)
            if len(_names(source.value, "bottom")) != 1 or len(_names(source.value, "top")) != 1:
                raise PrototxtError("a padding layer has one bottom and one top", where=source.where)
            pad = _old(source).get("pad", Field(0, source.where))
            fields |= {"layer": Field({**old, "pad": pad}, fields["layer"].where), "bottom": source.value["bottom"]}
        is_padding = _text(old, "type") == "padding"
        padding |= dict.fromkeys(_names(fields, "top"), layer if is_padding else None)
        if not is_padding:
            kept.append(Field(fields, layer.where))
    return kept


def _layer(connection: Fields) -> Fields:
    """One layer { layer { … } bottom top } in the second format."""
    if "layer" not in connection:
        return connection
    old = connection["layer"].value
    kind = _text(old, "type")
    owner = f"layer {_text(old, 'name')!r} ({kind})"
    made: dict[str, Any] = {name: connection[name] for name in ("bottom", "top") if name in connection}
    made |= {name: old[name] for name in _SAME if name in old}
    for name, given in old.items():
        if name in TRANSFORM:
            _put(made, "transform_param", TRANSFORM[name], given)
        elif name == "type":
            if kind not in TYPES:
                raise PrototxtError(f"{owner}: the first format has no layer type {kind!r}", where=given.where,
                                    hint=did_you_mean(kind, TYPES))
            made["type"] = Field(TYPES[kind], given.where)
        elif name in MOVES:
            new, targets = MOVES[name]
            if kind not in targets:
                _ignored(owner, name, given)
                continue
            value = Field((given,), given.where) if (targets[kind], new) in _LISTS else given
            _put(made, targets[kind], new, value)
        elif name == "hdf5_output_param":
            made[name] = given
        elif name not in _SAME:
            _ignored(owner, name, given)
    return made


def _ignored(owner: str, name: str, given: Field) -> None:
    """Caffe goes on too."""
    place = f"{given.where}: " if given.where else ""
    log.warning("%s%s: %s means nothing to this type of the first format, ignored", place, owner, name)


def _put(fields: dict[str, Any], message: str, name: str, value: Field) -> None:
    if message not in fields:
        fields[message] = Field({}, value.where)
    fields[message].value[name] = value
