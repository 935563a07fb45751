"""Typed parameters of a layer or solver: one declaration gives type, default, range and documentation.

    class InnerProductParams(Params, message="inner_product_param"):
        num_output: int = field(int, required=True, at_least=1, doc="the number of outputs")
        bias_term: bool = field(bool, True, doc="adds a learned offset")
        weight_filler: FillerParams = field(FillerParams, FillerParams(), doc="how W starts")

    class SoftmaxWithLossParams(Params, message="softmax_param"):
        axis: int = field(int, 1, doc="the axis of the classes")
        loss: LossParams = field(LossParams, LossParams(), beside=True, doc="...")  # from loss_param

A subclass is a frozen dataclass of keyword fields. `from_fields` builds it from what the text says and checks every
value. A field whose name is a keyword of Python has an underscore behind it in the class: `lambda_`.
"""

from __future__ import annotations

import dataclasses
import keyword
import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from layerforge.core.errors import PrototxtError, did_you_mean
from layerforge.netdef.types import Field, Fields, Where

P = TypeVar("P", bound="Params")


@dataclasses.dataclass(frozen=True)
class Spec:
    """What one field may hold.

    kind      int, float, bool, str, or a Params class (a nested message)
    choices   the allowed strings (an enum), or None
    at_least, at_most     closed bounds;  above, below   open bounds
    repeated  the value is a tuple of `kind`
    beside    the nested message stands beside the layer's own message (loss_param, transform_param)
    """

    kind: type[Any]
    default: Any
    doc: str
    required: bool = False
    repeated: bool = False
    choices: tuple[str, ...] | None = None
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    beside: bool = False

    @property
    def type_name(self) -> str:
        """The kind in words, for messages and reference pages."""
        if self.choices:
            name = " | ".join(self.choices)
        else:
            name = self.kind.message or self.kind.__name__ if issubclass(self.kind, Params) else self.kind.__name__
        return f"{name}*" if self.repeated else name

    def range_text(self) -> str:
        """The bounds in words: "at least 1", "" when there are none."""
        words = {"at least": self.at_least, "at most": self.at_most, "above": self.above, "below": self.below}
        return ", ".join(f"{word} {bound:g}" for word, bound in words.items() if bound is not None)

    def problem(self, value: Any) -> str | None:
        """Why this scalar is refused, or None."""
        if self.choices is not None:
            return None if value in self.choices else f"must be one of {', '.join(self.choices)}"
        if self.kind is bool:
            return None if isinstance(value, bool) else "must be true or false"
        if self.kind is int and (isinstance(value, bool) or not isinstance(value, int)):
            return "must be a whole number"
        if self.kind is float and (isinstance(value, bool) or not isinstance(value, (int, float))):
            return "must be a number"
        if self.kind is str:
            return None if isinstance(value, (str, bytes)) else "must be a text"
        if self.kind is float and math.isnan(value):
            return "must be a number"
        low_ok = (self.at_least is None or value >= self.at_least) and (self.above is None or value > self.above)
        high_ok = (self.at_most is None or value <= self.at_most) and (self.below is None or value < self.below)
        return None if low_ok and high_ok else f"must be {self.range_text()}"


def field(
    kind: type,
    default: Any = dataclasses.MISSING,
    *,
    doc: str,
    required: bool = False,
    repeated: bool = False,
    choices: tuple[str, ...] | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    beside: bool = False,
) -> Any:
    """Declares a field of a Params class. Without a default: () when repeated, else None."""
    if default is dataclasses.MISSING:
        default = () if repeated else None
    spec = Spec(kind, default, doc, required, repeated, choices, at_least, at_most, above, below, beside)
    return dataclasses.field(default=default, metadata={"spec": spec})


class Params:
    """Base of all typed parameters; subclasses are frozen dataclasses by themselves."""

    message: ClassVar[str | None] = None  # the field of LayerParameter that holds them

    if TYPE_CHECKING:  # each subclass gets its own from dataclasses

        def __init__(self, **values: Any) -> None: ...

    def __init_subclass__(cls, message: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if message is not None:
            cls.message = message
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)

    @classmethod
    def specs(cls) -> dict[str, Spec]:
        """Every field with its declaration."""
        if not dataclasses.is_dataclass(cls):
            return {}
        return {_text_name(f.name): f.metadata["spec"] for f in dataclasses.fields(cls)}

    @classmethod
    def messages(cls) -> Iterator[str]:
        """The messages of LayerParameter this class reads."""
        if cls.message is not None:
            yield cls.message
        for spec in cls.specs().values():
            if spec.beside:
                yield from spec.kind.messages()

    @classmethod
    def from_layer(cls: type[P], params: Fields, owner: str, where: Where | None) -> P:
        """Builds from `LayerDef.params`. `owner` names the layer in errors."""
        own = params.get(cls.message) if cls.message else None
        return cls.from_fields(own.value if own else {}, owner, (own.where if own else None) or where, params)

    @classmethod
    def from_fields(
        cls: type[P], fields: Fields, owner: str, where: Where | None = None, beside: Fields = MappingProxyType({})
    ) -> P:
        """Builds from the set fields of one message.

        Raises PrototxtError with the place, the owner, the field, the value and what it must be.
        """
        specs = cls.specs()
        values: dict[str, Any] = {}
        places: dict[str, Where | None] = {}
        for name, given in fields.items():
            if name not in specs or specs[name].beside:
                hint = did_you_mean(name, specs)
                raise PrototxtError(
                    f"{owner}: {cls.message or cls.__name__} has no field {name!r}",
                    where=given.where or where,
                    hint=hint,
                )
            values[name] = _value(specs[name], name, given, owner, where)
            places[name] = given.where
        for name, spec in specs.items():
            if spec.beside:
                values[name] = spec.kind.from_layer(beside, owner, where)
            elif spec.required and name not in values:
                raise PrototxtError(f"{owner}: {name} is missing", where=where, hint=f"{name} is {spec.doc}")
        made = cls(**{_attribute(name): value for name, value in values.items()})
        object.__setattr__(made, "_places", places)
        object.__setattr__(made, "_where", where)
        return made

    def has(self, name: str) -> bool:
        """Whether the text sets this field (an instance made in code counts what differs from the default)."""
        places: Mapping[str, Where | None] | None = getattr(self, "_places", None)
        return (
            name in places
            if places is not None
            else getattr(self, _attribute(name)) != type(self).specs()[name].default
        )

    def where(self, name: str = "") -> Where | None:
        """Where the field stands, else where its message starts."""
        places: Mapping[str, Where | None] = getattr(self, "_places", {})
        return places.get(name) or getattr(self, "_where", None)


def _attribute(name: str) -> str:
    """The attribute of a field: its name, with an underscore where Python has a keyword of that name."""
    return f"{name}_" if keyword.iskeyword(name) else name


def _text_name(attribute: str) -> str:
    return attribute[:-1] if keyword.iskeyword(attribute[:-1]) else attribute


def _value(spec: Spec, name: str, given: Field, owner: str, where: Where | None) -> Any:
    place = given.where or where
    if not spec.repeated:
        if isinstance(given.value, tuple):
            if len(given.value) != 1:
                raise PrototxtError(
                    f"{owner}: {name} is given {len(given.value)} times, it holds one value", where=place
                )
            given = given.value[0]
        return _one(spec, name, given, owner, place)
    several = given.value if isinstance(given.value, tuple) else (given,)
    return tuple(_one(spec, name, each, owner, place) for each in several)


def _one(spec: Spec, name: str, given: Field, owner: str, where: Where | None) -> Any:
    place = given.where or where
    if issubclass(spec.kind, Params):
        if not isinstance(given.value, Mapping):
            raise PrototxtError(f"{owner}: {name} is a message, got {given.value!r}", where=place)
        return spec.kind.from_fields(given.value, f"{owner}: {name}", place)
    problem = spec.problem(given.value)
    if problem:
        raise PrototxtError(f"{owner}: {name}: {given.value}, {problem}", where=place, hint=f"{name} is {spec.doc}")
    if spec.kind is float:
        return float(given.value)
    return given.value.decode("utf-8", "replace") if isinstance(given.value, bytes) else given.value
