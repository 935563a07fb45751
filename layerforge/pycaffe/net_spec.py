"""NetSpec: nets written as Python expressions.

    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 3, 32, 32]))
    n.conv = L.Convolution(n.data, num_output=16, kernel_size=3)
    n.relu = L.ReLU(n.conv, in_place=True)
    print(n.to_proto())
"""

from __future__ import annotations

import functools
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from layerforge.layers.registry import plugins
from layerforge.netdef.fields import make_fields
from layerforge.pycaffe.proto import caffe_pb2
from layerforge.schema.write import tree_text


@functools.cache
def _message_of() -> Mapping[str, str]:
    """Layer type → the field of LayerParameter that holds its parameters: "Convolution" → "convolution_param"."""
    fields = caffe_pb2.LayerParameter.DESCRIPTOR.fields
    return {f.message_type.name.removesuffix("Parameter"): f.name for f in fields if f.name.endswith("_param")}


def assign_proto(proto: Any, name: str, value: Any) -> None:
    """Sets a field from plain values: dicts are messages, lists repeat, a single value fills a repeated field once."""
    if isinstance(value, Mapping):
        target = getattr(proto, name)
        if hasattr(target, "add"):
            target = target.add()
        target.SetInParent()
        for key, each in value.items():
            assign_proto(target, key, each)
    elif hasattr(getattr(proto, name), "extend"):
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(each, Mapping):
                assign_proto(proto, name, each)
            else:
                getattr(proto, name).append(_enum(proto, name, each))
    else:
        setattr(proto, name, _enum(proto, name, value))


def _enum(proto: Any, name: str, value: Any) -> Any:
    """Enum values may be given by name, as in a prototxt."""
    kind = proto.DESCRIPTOR.fields_by_name[name].enum_type
    return kind.values_by_name[value].number if kind is not None and isinstance(value, str) else value


class Top:
    """One output of a layer."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn, self.n = fn, n

    def to_proto(self) -> Any:
        """The net that computes this output."""
        return to_proto(self)

    def _add_to(self, builder: _Builder) -> None:
        builder.add(self.fn)


class Function:
    """A layer: its type, its inputs and its parameters.

    Two keywords are no parameters: ntop, the number of outputs (1), and in_place.
    """

    def __init__(self, type_name: str, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        for index, given in enumerate(inputs):
            if not isinstance(given, Top):
                raise TypeError(f"{type_name} input {index} is not a Top (type is {type(given)})")
        self.type_name, self.inputs, self.params = type_name, inputs, dict(params)
        self.ntop: int = self.params.pop("ntop", 1)
        self.in_place: bool = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def to_proto(self) -> Any:
        """The net that ends with this layer."""
        return to_proto(self)

    def _add_to(self, builder: _Builder) -> None:
        builder.add(self)


class _Builder:
    """Layers in the order they are needed, and the names of what has none."""

    def __init__(self, names: Mapping[Any, str]) -> None:
        self.names: dict[Any, str] = dict(names)
        self.layers: dict[Function, Any] = {}
        self.counts: Counter[str] = Counter()
        self.own: dict[Function, dict[str, dict[str, Any]]] = {}  # messages of plugins' layers

    def name(self, what: Any, type_name: str) -> str:
        if what not in self.names:
            self.counts[type_name] += 1
            self.names[what] = f"{type_name}{self.counts[type_name]}"
        return self.names[what]

    def add(self, fn: Function) -> None:
        """Adds the layer behind everything it reads."""
        pending = [fn]
        while pending:  # a loop and no recursion: nets are deeper than Python's stack
            fn = pending[-1]
            missing = [top.fn for top in fn.inputs if top.fn not in self.layers]
            if missing:
                pending.extend(reversed(missing))
                continue
            pending.pop()
            if fn not in self.layers:
                self.layers[fn] = self._layer(fn)

    def _layer(self, fn: Function) -> Any:
        layer = caffe_pb2.LayerParameter()
        layer.type = fn.type_name
        layer.bottom.extend([self.layers[top.fn].top[top.n] for top in fn.inputs])
        if fn.in_place:
            layer.top.extend(layer.bottom)
        else:
            layer.top.extend([self.name(top, fn.type_name) for top in fn.tops])
        if fn not in self.names and fn.tops:
            layer.name = self.name(fn.tops[0], fn.type_name)
        else:
            layer.name = self.name(fn, fn.type_name)
        for key, value in fn.params.items():
            if not self._assign_own(fn, key, value):
                self._assign(layer, fn.type_name, key, value)
        return layer

    def _assign_own(self, fn: Function, key: str, value: Any) -> bool:
        """Takes a parameter of a plugin's layer, given by itself or as its whole message."""
        kind = plugins().get(fn.type_name)
        message = kind.Params.message if kind else None
        if kind is None or message is None or (key != message and key not in kind.Params.specs()):
            return False
        self.own.setdefault(fn, {}).setdefault(message, {}).update(value if key == message else {key: value})
        return True

    @staticmethod
    def _assign(layer: Any, type_name: str, key: str, value: Any) -> None:
        message, fields = _message_of().get(type_name), layer.DESCRIPTOR.fields_by_name
        if not key.endswith("param") and message and key in fields[message].message_type.fields_by_name:
            getattr(layer, message).SetInParent()
            assign_proto(getattr(layer, message), key, value)
        elif key in fields:
            assign_proto(layer, key, value)
        else:
            raise AttributeError(f"{type_name} has no parameter {key!r}")


def to_proto(*tops: Any) -> Any:
    """The NetParameter of all layers that the given outputs need, with names made from the types."""
    return _net(_Builder({}), tops)


def _net(builder: _Builder, tops: Any) -> Any:
    for top in tops:
        top._add_to(builder)
    net = caffe_pb2.NetParameter()
    net.layer.extend(builder.layers.values())
    return PluginNet(net, [builder.own.get(fn, {}) for fn in builder.layers]) if builder.own else net


class PluginNet:
    """A NetParameter whose text also has the parameters of plugins, which protobuf's message has no place for."""

    def __init__(self, message: Any, own: Sequence[Mapping[str, Any]]) -> None:
        self.message, self._own = message, own

    def __getattr__(self, name: str) -> Any:
        return getattr(self.message, name)

    def __str__(self) -> str:
        head = type(self.message)()
        head.CopyFrom(self.message)
        head.ClearField("layer")
        parts = [str(head)]
        for layer, own in zip(self.message.layer, self._own):
            inside = str(layer) + tree_text(make_fields(own), "LayerParameter")
            parts.append(f"layer {{\n{textwrap.indent(inside, '  ')}}}\n")
        return "".join(parts)


class NetSpec:
    """A net under construction: assign outputs as attributes or items; their names become those of blobs and layers."""

    tops: dict[str, Any]

    def __init__(self) -> None:
        object.__setattr__(self, "tops", {})

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        try:
            return self.tops[name]
        except KeyError:
            raise AttributeError(f"the net has no top {name!r}") from None

    __setitem__ = __setattr__

    def __getitem__(self, name: str) -> Any:
        return self.tops[name]

    def __delitem__(self, name: str) -> None:
        del self.tops[name]

    __delattr__ = __delitem__

    def to_proto(self) -> Any:
        """The NetParameter of everything assigned, in this order."""
        return _net(_Builder({top: name for name, top in self.tops.items()}), self.tops.values())


class Layers:
    """`layers.Convolution(bottom, num_output=3)` makes a layer of any type and returns its output or outputs."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def make(*inputs: Any, **params: Any) -> Any:
            fn = Function(name, inputs, params)
            return fn if fn.ntop == 0 else fn.tops[0] if fn.ntop == 1 else fn.tops

        make.__name__ = name
        return make


class _Enums:
    def __init__(self, message: Any) -> None:
        self._message = message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)


class Parameters:
    """`params.Pooling.MAX` is the enum number of a message's parameter."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Enums(getattr(caffe_pb2, f"{name}Parameter"))


layers = Layers()
params = Parameters()
