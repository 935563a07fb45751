"""compute_type on its way from the texts and the command line to the engines."""

from __future__ import annotations

import pytest

from layerforge.core.errors import DeviceError
from layerforge.net import build
from layerforge.net.build import build_net
from layerforge.schema.read import parse_net

NET = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } } }'


@pytest.fixture
def asked(monkeypatch):
    """The types that engines are asked for."""
    found = []
    monkeypatch.setattr(build, "default_engines", lambda backend, keep, kind: found.append(kind) or [])
    return found


def test_a_nets_own_type_wins(asked):
    assert build_net(parse_net(f"compute_type: TF32 {NET}"), compute_type="BF16").definition.compute_type == "TF32"
    assert asked == ["TF32"]


def test_else_the_given_type_counts(asked):
    assert build_net(parse_net(NET), compute_type="BF16").definition.compute_type == "BF16"
    assert asked == ["BF16"]


def test_no_type_is_asked_for_by_itself(asked):
    build_net(parse_net(NET))
    assert asked == [""]


def test_a_refused_type_names_the_net_that_asks_for_it():
    with pytest.raises(DeviceError, match=r"^net.prototxt:1: compute_type: FP16 is for GPUs"):
        build_net(parse_net(f"compute_type: FP16 {NET}", "net.prototxt"))


def test_a_refused_type_from_elsewhere_does_not_blame_the_net():
    with pytest.raises(DeviceError, match=r"^compute_type: FP16 is for GPUs"):
        build_net(parse_net(NET, "net.prototxt"), compute_type="FP16")


def test_given_engines_are_used_whatever_the_type():
    assert build_net(parse_net(f"compute_type: FP16 {NET}"), engines=()).plan.steps[0].engine == "layer"


def test_a_net_for_scripts_takes_the_type_of_its_text(tmp_path, asked):
    from layerforge import pycaffe

    path = tmp_path / "net.prototxt"
    path.write_text(f"compute_type: BF16 {NET}")
    pycaffe.Net(str(path), pycaffe.TEST)
    assert asked == ["BF16"]


@pytest.mark.parametrize(("solver", "net", "line", "kinds"), [
    ("BF16", "", "", ["BF16", "BF16"]), ("BF16", "FP32", "", ["FP32", "FP32"]), ("", "", "", ["FP32", "FP32"]),
    ("BF16", "FP32", "TF32", ["TF32", "TF32"])])
def test_a_solvers_nets_get_its_type_their_own_or_that_of_the_command_line(asked, solver, net, line, kinds):
    from layerforge.schema.read import parse_solver
    from layerforge.solver.loop import Solver

    own = f"compute_type: {net}" if net else ""
    text = f"compute_type: {solver}" if solver else ""
    definition = parse_solver(f"net_param {{ {own} {NET} }} test_iter: 1 test_interval: 1 lr_policy: 'fixed' {text}")
    Solver(definition, compute_type=line).close()
    assert asked == kinds
