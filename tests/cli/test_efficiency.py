"""How fast steps are, as time --explain says it."""

import pytest

from layerforge.cli.efficiency import Measured, choices, efficiency
from layerforge.cli.timing import LayerTime, Timing
from layerforge.engines.lowering import Speeds
from layerforge.graph.explain import StepRow
from layerforge.net.build import build_net
from layerforge.schema.read import parse_net

SPEEDS = Speeds({"FP32": 100e9, "BF16": 200e9}, 50e9)


def row(**more):
    return StepRow(("c",), ("Convolution",), "FAST", (), 2 * 10**9, (), 4 * 10**9, 10**9, 10**9,
                   **{"is_product": True, **more})


def test_a_product_is_held_against_the_arithmetic_of_its_type():
    assert efficiency(row(), 0.04, 0.08, SPEEDS) == ("50.0", "16.7", "50%")
    assert efficiency(row(compute_type="BF16"), 0.04, 0.08, SPEEDS)[2] == "25%"


def test_other_steps_are_held_against_the_memory():
    assert efficiency(row(is_product=False), 0.04, 0.04, SPEEDS) == ("", "25.0", "50%")


def test_without_a_backward_pass_forward_counts_alone():
    only = StepRow(("c",), ("Convolution",), "FAST", (), 2 * 10**9, (), nbytes=10**9, is_product=True)
    assert efficiency(only, 0.04, 0.0, SPEEDS) == ("50.0", "25.0", "50%")


def test_nothing_is_said_of_what_layers_run_themselves():
    own = StepRow(("c",), ("Convolution",), "layer", (), 0, (), nbytes=10**9)
    assert efficiency(own, 0.04, 0.0, SPEEDS) == ("", "", "")


def test_without_known_speeds_there_is_no_share():
    assert efficiency(row(), 0.04, 0.08, None) == ("50.0", "16.7", "")


def test_conversions_stand_with_the_step_that_asked_for_them():
    net = build_net(parse_net('layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 2 } } }'))
    times = [LayerTime("d", "Input", 1.0, 0.0, copies=2, copied_bytes=3 * 2**20)]
    text = str(choices(Measured(net, Timing("net", 1, times, [1.0]))))
    assert "2 of 3.0 MiB" in text


def test_the_machine_is_measured_by_the_engine(monkeypatch):
    speed = pytest.importorskip("layerforge.engines.onednn.speed")
    from layerforge.core.errors import DeviceError
    from layerforge.engines.onednn.library import load

    try:
        library = load()
    except DeviceError as error:
        pytest.skip(f"oneDNN is not here: {error}")
    for name, value in (("SECONDS", 1e-3), ("SIDE", 64), ("COPIED", 1 << 16)):
        monkeypatch.setattr(speed, name, value)
    found = speed._measured.__wrapped__(library, 1)
    assert found.flops["FP32"] > 1e6 and found.nbytes > 1e6
