"""Plain Python values as the fields of a message, for definitions made in code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layerforge.netdef.types import Field, Fields


def make_fields(values: Mapping[str, Any]) -> Fields:
    """{"kernel_size": [3], "weight_filler": {"type": "xavier"}} → Fields without places. None is left out."""
    return {name: Field(_value(value)) for name, value in values.items() if value is not None}


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return make_fields(value)
    if isinstance(value, (list, tuple)):
        return tuple(Field(_value(each)) for each in value)
    return value
