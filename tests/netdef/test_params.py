"""Typed parameters: values, places and errors."""

import dataclasses

import pytest

from layerforge.core.errors import PrototxtError
from layerforge.netdef.fields import make_fields
from layerforge.netdef.params import Params, field
from layerforge.netdef.types import Field, Where


class Inner(Params, message="inner_param"):
    value: float = field(float, 1.0, doc="a number")


class Sample(Params, message="sample_param"):
    size: int = field(int, required=True, at_least=1, doc="how many")
    ratio: float = field(float, 0.5, above=0, below=1, doc="a share")
    mode: str = field(str, "MAX", choices=("MAX", "AVE"), doc="which")
    dims: tuple = field(int, repeated=True, doc="the axes")
    inner: Inner = field(Inner, Inner(), beside=True, doc="a message beside")


def build(**values):
    return Sample.from_fields(make_fields(values), "layer 'x' (Sample)", Where("net.prototxt", 7))


def test_defaults_fill_what_is_not_said():
    p = build(size=2)
    assert (p.ratio, p.mode, p.dims, p.inner.value) == (0.5, "MAX", (), 1.0)


def test_a_message_beside_is_read_from_the_layer():
    p = Sample.from_layer(make_fields({"sample_param": {"size": 1}, "inner_param": {"value": 3}}), "layer", None)
    assert p.inner.value == 3.0


def test_a_whole_number_is_a_float():
    assert isinstance(Inner.from_fields(make_fields({"value": 3}), "x").value, float)


def test_instances_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        build(size=2).size = 3


def test_has_tells_what_the_text_sets():
    p = build(size=2, ratio=0.5)
    assert p.has("ratio") and not p.has("mode")


@pytest.mark.parametrize(("values", "words"), [
    (dict(size=0), "size: 0, must be at least 1"),
    (dict(size=1.5), "size: 1.5, must be a whole number"),
    (dict(size=2, ratio=1.0), "ratio: 1.0, must be above 0, below 1"),
    (dict(size=2, ratio=float("nan")), "must be a number"),
    (dict(size=2, mode="MIN"), "mode: MIN, must be one of MAX, AVE"),
    (dict(), "size is missing"),
    (dict(size=2, moed="MAX"), "no field 'moed'"),
])
def test_a_bad_value_is_one_error_with_place_and_owner(values, words):
    with pytest.raises(PrototxtError) as error:
        build(**values)
    assert str(error.value).startswith("net.prototxt:7: layer 'x' (Sample): ")
    assert words in str(error.value)


def test_the_place_of_a_value_is_kept():
    p = Sample.from_fields({"size": Field(2, Where("net.prototxt", 9))}, "x", Where("net.prototxt", 7))
    assert (str(p.where("size")), str(p.where("mode"))) == ("net.prototxt:9", "net.prototxt:7")


def test_a_value_given_twice_is_refused():
    with pytest.raises(PrototxtError, match="given 2 times"):
        build(size=(1, 2))
