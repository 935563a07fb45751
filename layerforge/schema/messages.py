"""The protobuf classes, made from the compiled descriptor in a pool of their own.

Another program's `caffe_pb2` registers the same names in protobuf's default pool; both can live in one process.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory

DESCRIPTOR = Path(__file__).parent / "_generated" / "layerforge.desc"


@functools.cache
def pool() -> Any:
    """The descriptor pool that holds package layerforge and nothing else."""
    made = descriptor_pool.DescriptorPool()
    made.AddSerializedFile(DESCRIPTOR.read_bytes())
    return made


@functools.cache
def descriptor(name: str) -> Any:
    """The descriptor of a message, by its name within the package: "ConvolutionParameter"."""
    return pool().FindMessageTypeByName(f"layerforge.{name}")


@functools.cache
def message_class(name: str) -> Any:
    """The protobuf class of a message: `message_class("NetParameter")()`."""
    return message_factory.GetMessageClass(descriptor(name))


def file_descriptor() -> Any:
    """The descriptor of the whole file."""
    return descriptor("NetParameter").file


def is_repeated(field: Any) -> bool:
    """Whether a field descriptor is repeated: protobuf 7 has no `label`, protobuf 5 no `is_repeated`."""
    told = getattr(field, "is_repeated", None)
    return field.label == field.LABEL_REPEATED if told is None else bool(told)
