"""caffe.proto.caffe_pb2: message classes and enum numbers by Caffe's names, from the schema's own descriptor pool."""

from __future__ import annotations

from typing import Any

from layerforge.schema import messages


def _lookup(name: str) -> Any:
    file = messages.file_descriptor()
    if name in file.message_types_by_name:
        return messages.message_class(name)
    for enum in file.enum_types_by_name.values():
        if name in enum.values_by_name:  # caffe_pb2.TRAIN
            return enum.values_by_name[name].number
    raise AttributeError(f"caffe_pb2 has no message or enum value {name!r}")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    found = _lookup(name)
    globals()[name] = found
    return found
