"""Reference pages say everything; that their examples work is tested in test_examples."""

from __future__ import annotations

import pytest

from layerforge.layers import reference
from layerforge.layers.base import Layer
from layerforge.layers.examples import EXAMPLES, example_of
from layerforge.layers.registry import KNOWN_FROM_FORKS, built_in
from layerforge.netdef.params import Params, field

TYPES = sorted(built_in())


@pytest.mark.parametrize("name", TYPES)
def test_the_page_has_formula_parameters_and_example(name: str) -> None:
    layer, page = built_in()[name], reference.page(name)
    assert page.startswith(f"{name}\n{'=' * len(name)}\n\n{layer.__doc__.split(chr(10))[0].strip()}")
    assert f'type: "{layer.type}"' in page
    for parameter, spec in layer.Params.specs().items():
        assert spec.beside or f"\n{parameter} " in page


def test_the_page_says_type_range_default_and_meaning() -> None:
    page = reference.page("InnerProduct")
    assert "\nnum_output     int ≥ 1 required  the number of outputs\n" in page
    assert "\naxis           int = 1" in page
    assert "Parameters (inside weight_filler, bias_filler)" in page


def test_a_choice_lists_what_can_be_chosen() -> None:
    assert "choice = SUM" in reference.page("Eltwise") and "[PROD, SUM, MAX, DIV, MIN]" in reference.page("Eltwise")


def test_the_default_of_a_message_is_shown() -> None:
    assert "message = { value: 0.25 }" in reference.page("PReLU")


def test_the_table_has_a_line_for_each_type() -> None:
    lines = reference.table().split("\n")
    assert [line.split()[0] for line in lines] == TYPES and max(map(len, lines)) <= reference.WIDTH


def test_examples_are_of_types_that_exist_or_are_known() -> None:
    assert set(EXAMPLES) <= set(TYPES) | set(KNOWN_FROM_FORKS) | CAFFE


CAFFE = {"Crop", "Embed", "LSTM", "LSTMUnit", "RNN", "SPP", "WindowData"}


def test_a_layer_without_a_written_example_gets_one_from_its_required_parameters() -> None:
    class MineParams(Params, message="mine_param"):
        size: int = field(int, required=True, at_least=2, doc="a size")
        mode: str = field(str, required=True, choices=("A", "B"), doc="a mode")

    mine = type("Mine", (Layer,), {"type": "Mine", "Params": MineParams, "bottoms": 2})
    assert example_of(mine).inside == "mine_param { size: 2 mode: A }"
    assert [name for name, _ in example_of(mine).bottoms] == ["data1", "data2"]
