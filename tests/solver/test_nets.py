"""Which nets a solver text names."""

import pytest
from tiny_solver import NET

from layerforge.core.errors import DataError, PrototxtError
from layerforge.schema.read import parse_solver
from layerforge.solver.nets import test_sources as sources_of_tests
from layerforge.solver.nets import train_source, weights_files
from layerforge.solver.params import SolverParams


def params(text):
    return SolverParams.from_definition(parse_solver(text, "solver.prototxt"))


def read(path):
    return parse_solver(f"net_param {{ name: '{path}' }}").fields["net_param"].value


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.prototxt", "b.prototxt", "c.prototxt"):
        (tmp_path / name).write_text(f"name: '{name}'")


@pytest.mark.parametrize("text, problem", [
    ("", "names no train net"),
    ('net: "a.prototxt" train_net: "b.prototxt"', "names 2 train nets"),
    ('net: "a.prototxt" net_param { }', "names 2 train nets"),
])
def test_there_is_one_train_net(text, problem):
    with pytest.raises(PrototxtError, match=problem):
        train_source(params(text), "solver.prototxt")


def test_a_missing_net_names_both_places_and_the_line():
    definition = parse_solver('net: "none.prototxt"', "sub/s.prototxt")
    with pytest.raises(DataError, match=r"^sub/s.prototxt:1: net 'none.prototxt' is missing.*none.* or .*sub/none"):
        train_source(SolverParams.from_definition(definition), definition.file)


def test_a_net_beside_the_solver_is_found(files, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert train_source(params('net: "a.prototxt"'), str(tmp_path / "solver.prototxt")).definition.name == "a.prototxt"


def test_test_nets_come_in_caffes_order(files):
    text = ('net: "a.prototxt" test_net: "b.prototxt" test_net: "c.prototxt" test_net_param { name: "inner" } '
            "test_interval: 1 test_iter: [1, 1, 1, 1, 1]")
    names = [source.definition.name for source in sources_of_tests(params(text), "")]
    assert names == ["inner", "b.prototxt", "c.prototxt", "a.prototxt", "a.prototxt"]


@pytest.mark.parametrize("text, problem", [
    ('train_net: "a.prototxt" test_net: "b.prototxt"', "test_iter is given 0 times for 1 test nets"),
    ('train_net: "a.prototxt" test_iter: 1', "test_iter is given 1 times for 0 test nets"),
    ('net_param { } test_net: "b.prototxt" test_net: "c.prototxt" test_iter: 1', "is given 1 times for 2 test"),
    ('net: "a.prototxt" test_iter: 1 test_interval: 1 test_state { } test_state { }', "is given 2 times for 1 test"),
    ('net: "a.prototxt" test_iter: 1', "no test_interval"),
])
def test_counts_that_do_not_fit_are_refused(files, text, problem):
    with pytest.raises(PrototxtError, match=problem):
        sources_of_tests(params(text), "")


def test_a_net_without_test_iter_is_not_tested(files):
    assert sources_of_tests(params('net: "a.prototxt"'), "") == []


def test_weights_may_be_a_list_with_commas(files):
    assert weights_files(["a.prototxt, b.prototxt", "c.prototxt"], "") == ["a.prototxt", "b.prototxt", "c.prototxt"]


STAGED = NET + """
layer { name: "extra" type: "Silence" bottom: "label" include { stage: "noisy" } }
layer { name: "deep" type: "Silence" bottom: "label" include { min_level: 2 } }
"""


def test_states_choose_the_layers_of_each_net(make_solver):
    fields = 'train_state { stage: "noisy" } test_state { level: 2 } test_state { } test_iter: [1, 1] test_interval: 5'
    solver = make_solver(fields, STAGED)
    assert [("extra" in net.layer_names, "deep" in net.layer_names) for net in (solver.net, *solver.test_nets)] == [
        (True, False), (False, True), (False, False)]


def test_the_command_line_adds_level_and_stages_to_the_train_net_only(make_solver):
    solver = make_solver("test_iter: 1 test_interval: 5", STAGED, level=2, stages=("noisy",))
    assert "extra" in solver.net.layer_names and "deep" in solver.net.layer_names
    assert "extra" not in solver.test_nets[0].layer_names and "deep" not in solver.test_nets[0].layer_names
