"""The text reader: grammar, places, and one clear error for whatever is wrong."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerforge.core.errors import LayerForgeError, NetError, PrototxtError
from layerforge.netdef.params import Params, field
from layerforge.schema.kinds import FieldKind, MessageKind
from layerforge.schema.parse import MAX_DEPTH, parse, read_text


def net(text, **kwargs):
    return parse(text, "net.prototxt", "NetParameter", **kwargs)


def first_layer(text):
    return net("layer { " + text + " }")["layer"].value[0].value


def error(text, message="NetParameter", **kwargs):
    with pytest.raises(PrototxtError) as caught:
        parse(text, "net.prototxt", message, **kwargs)
    return str(caught.value)


def plain(field):
    return [plain(each) for each in field.value] if isinstance(field.value, tuple) else field.value


def test_every_value_knows_its_line_and_column():
    layer = net('name: "n"\nlayer {\n  name: "c"\n  top: "a" top: "b"\n}')["layer"].value[0]
    assert str(layer.where) == "net.prototxt:2"
    tops = layer.value["top"].value
    assert [(t.where.line, t.where.column) for t in tops] == [(4, 3), (4, 12)]


def test_messages_may_stand_in_braces_or_angles_with_or_without_a_colon():
    for text in (
        "relu_param { negative_slope: 1 }",
        "relu_param: { negative_slope: 1 }",
        "relu_param < negative_slope: 1 >",
    ):
        assert first_layer(text)["relu_param"].value["negative_slope"].value == 1.0


def test_lists_commas_semicolons_and_comments_are_read():
    layer = first_layer("top: [\"a\", 'b'], # a comment {\n loss_weight: [1, .5]; loss_weight: 2")
    assert plain(layer["top"]) == ["a", "b"] and plain(layer["loss_weight"]) == [1.0, 0.5, 2.0]
    assert "top" not in first_layer("top: []")


def test_texts_in_a_row_are_joined_and_escapes_resolved():
    layer = first_layer(r"""name: "a\n\x41" '\101\'' "\u00e9" """)
    assert layer["name"].value == "a\nAA'é"


@pytest.mark.parametrize("text, value", [("1", 1), ("-1", -1), ("0x1F", 31), ("010", 8), ("2147483647", 2**31 - 1)])
def test_whole_numbers(text, value):
    assert first_layer(f"concat_param {{ axis: {text} }}")["concat_param"].value["axis"].value == value


@pytest.mark.parametrize(
    "text, value", [("1", 1), ("1.", 1), (".5", 0.5), ("1e-3f", 1e-3), ("-2F", -2), ("inf", math.inf)]
)
def test_numbers(text, value):
    assert net(f"layer {{ loss_weight: {text} }}")["layer"].value[0].value["loss_weight"].value[0].value == value


def test_nan_is_a_number():
    assert math.isnan(plain(first_layer("loss_weight: nan")["loss_weight"])[0])


@pytest.mark.parametrize(
    "text, value", [("true", True), ("f", False), ("1", True), ("False", False), ("t", True), ("0", False)]
)
def test_switches(text, value):
    assert net(f"force_backward: {text}")["force_backward"].value is value


@pytest.mark.parametrize("text", ["AVE", "1"])
def test_enums_by_name_or_number(text):
    assert first_layer(f"pooling_param {{ pool: {text} }}")["pooling_param"].value["pool"].value == "AVE"


def test_an_unknown_field_names_place_layer_message_and_the_nearest_name():
    text = error('layer {\n  name: "c" type: "Convolution"\n  convolution_param {\n    num_outputs: 3 } }')
    assert text == (
        "net.prototxt:4: layer 'c' (Convolution): convolution_param has no field 'num_outputs'\n"
        "  hint: did you mean 'num_output'?"
    )


def test_a_solver_given_for_a_net_is_told():
    assert "a field of a solver: is it the wrong file?" in error("base_lr: 0.1")
    assert "a field of a net: is it the wrong file?" in error("layer { }", "SolverParameter")


@pytest.mark.parametrize(
    "text, told",
    [
        ("force_backward: 2", "force_backward: 2, must be true or false"),
        ("layer { pooling_param { pool: MXA } }", "pool: MXA, must be one of MAX, AVE, STOCHASTIC"),
        ("layer { convolution_param { pad: -1 } }", "pad: -1, must be a whole number, at least 0"),
        ("layer { concat_param { axis: 1.5 } }", "axis: 1.5, must be a whole number"),
        ("layer { concat_param { axis: 2147483648 } }", "axis: 2147483648, must be a whole number"),
        ("layer { loss_weight: 0x10 }", "loss_weight: 0x10, must be a number"),
        ("layer { loss_weight: x }", "loss_weight: x, must be a number"),
        ("layer { name: conv }", "name: conv, must be a text in quotes"),
        ("layer { relu_param: 1 }", "relu_param is a message: '{' is expected, not 1"),
        ("layer { name 'x' }", "a ':' is expected after name"),
        ('layer { name: ["x"] }', "name holds one value, not a list"),
        ("layer { loss_weight: [1 2] }", "the list of loss_weight that starts here is not closed"),
        ("name: 'a' name: 'b'", "name is given twice"),
        ("layer { relu_param {} relu_param {} }", "relu_param is given twice"),
        ("input_dim: 3a", "'3a' is no number"),
        ("{ }", "the name of a field is expected, not {"),
        ("layer { [caffe.ext]: 1 }", "the name of a field is expected, not ["),
        ("name: '\\q'", "\\q is no escape"),
        ("name: '\\xff'", "the text is not UTF-8"),
        ("layer { ? }", "the character '?' cannot stand here"),
    ],
)
def test_bad_texts_are_told_with_their_line(text, told):
    message = error("\n\n" + text)
    assert message.startswith("net.prototxt:3: ") and told in message


def test_an_open_brace_is_named_where_it_opened():
    assert error('layer {\n  name: "x"\n  relu_param {\n').startswith(
        "net.prototxt:3: layer 'x': relu_param that starts here is not closed"
    )


def test_an_open_quote_is_named_where_it_opened():
    assert error('layer {\n  name: "x\n}').startswith('net.prototxt:2: the text "x has no closing quote')


class Inner(Params):
    again: "tuple" = field(int, repeated=True, doc="numbers")


class Mine(Params, message="my_layer_param"):
    beta: float = field(float, 1.0, doc="a number")
    mode: str = field(str, "fast", choices=("fast", "exact"), doc="a choice")
    inner: Inner = field(Inner, Inner(), doc="a message")


def test_messages_of_plugins_are_read_and_checked():
    extra = {"my_layer_param": Mine}
    text = "layer { my_layer_param { beta: 2 mode: exact inner { again: [1, 2] } } }"
    fields = net(text, extra=extra)["layer"].value[0].value["my_layer_param"].value
    assert (
        fields["beta"].value == 2.0
        and fields["mode"].value == "exact"
        and plain(fields["inner"].value["again"]) == [1, 2]
    )
    assert net(text.replace("exact", '"exact"'), extra=extra) != {}
    assert "my_layer_param has no field 'betta'" in error("layer { my_layer_param { betta: 2 } }", extra=extra)
    assert "did you mean 'my_layer_param'" in error("layer { my_layr_param { } }", extra=extra)
    assert "mode: slow, must be one of fast, exact" in error("layer { my_layer_param { mode: slow } }", extra=extra)


def test_files_that_are_no_text_are_told(tmp_path):
    file = tmp_path / "net.prototxt"
    file.write_bytes(b"name: 'a'\n\x00\xff\xfe")
    with pytest.raises(PrototxtError, match="net.prototxt:2: the text is not UTF-8"):
        read_text(str(file))
    with pytest.raises(PrototxtError, match="missing.prototxt cannot be read: No such file"):
        read_text(str(tmp_path / "missing.prototxt"))


def test_a_byte_order_mark_is_skipped(tmp_path):
    file = tmp_path / "net.prototxt"
    file.write_bytes(b"\xef\xbb\xbfname: 'a'")
    assert read_text(str(file)) == "name: 'a'"


WORDS = st.sampled_from(
    [
        "layer",
        "{",
        "}",
        "<",
        ">",
        "[",
        "]",
        ":",
        ",",
        ";",
        "name",
        "'a'",
        '"',
        "\\",
        "1",
        "-",
        "0x",
        "1e9",
        "top",
        "relu_param",
        "negative_slope",
        "inf",
        "#",
        "\n",
        "input_dim",
        "'\\x",
        "é",
        "\0",
        "1" * 5000,
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(WORDS, max_size=30).map(" ".join) | st.text(max_size=40))
def test_any_text_is_read_or_refused_with_our_error(text):
    try:
        net(text)
    except LayerForgeError as told:
        assert str(told).startswith("net.prototxt:")


class Deep(Params, message="deep"):
    pass


def test_messages_nested_too_deeply_are_told(monkeypatch):
    kind = MessageKind("Deep", {"deep": FieldKind("deep", "message", message=Deep)})
    monkeypatch.setattr("layerforge.schema.parse.message_kind", lambda message: kind)
    with pytest.raises(PrototxtError, match=f"more than {MAX_DEPTH} messages within one another"):
        parse("deep {" * (MAX_DEPTH + 1), "f", "Deep")


def test_messages_of_registered_layers_are_read(monkeypatch):
    from layerforge.layers import registry
    from layerforge.layers.base import Layer
    from layerforge.schema import kinds

    monkeypatch.setattr(registry, "_plugins", {})
    monkeypatch.setattr(kinds, "_declared", {})
    verbs = {"reshape": lambda *_: None, "forward": lambda *_: None}
    registry.register(type("Swishy", (Layer,), {"type": "Swishy", "Params": Mine, **verbs}))
    fields = first_layer("my_layer_param { beta: 2 }")
    assert fields["my_layer_param"].value["beta"].value == 2.0


def test_two_plugins_with_one_message_are_told(monkeypatch):
    from layerforge.schema import kinds

    monkeypatch.setattr(kinds, "_declared", {})
    kinds.declare("my_layer_param", Mine)
    with pytest.raises(NetError, match="two classes declare the message 'my_layer_param': Mine and Inner"):
        kinds.declare("my_layer_param", Inner)
