"""What a net takes, and the refusal of one that is too large."""

import pytest

from layerforge.core.errors import NetError
from layerforge.core.storage import Storage
from layerforge.net import footprint as module
from layerforge.net.build import build_net
from layerforge.net.footprint import footprint
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

TEXT = """
name: "wide"
layer { name: "data" type: "Input" top: "data" top: "t" input_param { shape { dim: 8 dim: 100 } shape { dim: 8 } } }
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" inner_product_param { num_output: 64 } }
layer { name: "r" type: "ReLU" bottom: "a" top: "a" }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param { num_output: 64 } }
layer { name: "c" type: "InnerProduct" bottom: "b" top: "c" inner_product_param { num_output: 10 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "c" bottom: "t" top: "loss" }
"""
PARAMETERS = 4 * (100 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10)


def net(keep, text=TEXT, **more):
    return build_net(parse_net(text, "net.prototxt"), Phase.TRAIN, keep=keep, **more)


def test_figures_add_up_to_the_peak():
    found = footprint(net("outputs"), [Storage(1000)])
    rows = dict(found.rows())
    assert rows.pop("peak") == sum(rows.values()) == found.peak
    assert found.history == 4000 and found.saved > 0


@pytest.mark.parametrize("keep", ["all", "outputs"])
def test_layers_on_their_own_hold_plain_blobs(keep):
    found = footprint(net(keep, engines=()))
    values = 4 * 8 * (100 + 1 + 64 + 64 + 10)
    assert found.parameters == found.parameter_gradients == PARAMETERS
    assert values <= found.activations <= values + 8 * 64
    assert 4 * 8 * (64 + 64 + 10) <= found.gradients


def test_figures_touch_no_memory():
    made = net("outputs")
    footprint(made)
    assert not any(blob.data.allocated or blob.diff.allocated for blob in made.all_blobs)


def test_a_net_too_large_for_the_memory_is_refused_before_any_is_taken(monkeypatch):
    monkeypatch.setattr(module, "memory_limit", lambda: (40_000, "the machine's memory"))
    made = net("all")
    with pytest.raises(NetError, match=r"net 'wide' needs .* MiB \(activations .*the machine's memory is") as error:
        made.forward()
    assert 'keep="outputs"' in error.value.hint and "parameters are most of it" in error.value.hint
    assert not any(blob.data.allocated for blob in made.all_blobs)


def test_a_large_batch_is_what_to_make_smaller(monkeypatch):
    monkeypatch.setattr(module, "memory_limit", lambda: (1_000_000, "the control group's limit"))
    with pytest.raises(NetError) as error:
        net("outputs", TEXT.replace("dim: 8", "dim: 8000")).forward()
    assert "smaller batch" in error.value.hint and "keep" not in error.value.hint


def test_a_net_that_only_runs_forward_needs_no_room_for_gradients(monkeypatch):
    made = net("all")
    found = footprint(made)
    forward = found.peak - found.gradients - found.parameter_gradients
    monkeypatch.setattr(module, "memory_limit", lambda: (forward, "the machine's memory"))
    made.forward()
    with pytest.raises(NetError, match="gradients"):
        made.backward()
    monkeypatch.setattr(module, "memory_limit", lambda: (forward - 1, "the machine's memory"))
    with pytest.raises(NetError) as error:
        net("all").forward()
    assert "gradients" not in error.value.message


def test_a_net_that_grew_is_refused(monkeypatch):
    made = net("all")
    made.forward()
    monkeypatch.setattr(module, "memory_limit", lambda: (1_000_000, "the machine's memory"))
    made.forward()
    made.blobs["data"].reshape((8000, 100))
    made.blobs["t"].reshape((8000,))
    with pytest.raises(NetError, match="activations"):
        made.forward()
    made.blobs["data"].reshape((8, 100))
    made.blobs["t"].reshape((8,))
    made.forward()


def test_training_is_refused_when_the_solver_is_made(monkeypatch):
    from layerforge.schema.read import parse_solver
    from layerforge.solver.loop import Solver

    monkeypatch.setattr(module, "memory_limit", lambda: (3 * PARAMETERS, "the machine's memory"))
    text = f'type: "Adam" base_lr: 0.1 lr_policy: "fixed" snapshot_prefix: "x" net_param {{ {TEXT} }}'
    with pytest.raises(NetError, match="history"):
        Solver(parse_solver(text, "solver.prototxt"), keep="outputs")


def test_test_nets_count_beside_the_train_net(monkeypatch):
    from layerforge.schema.read import parse_solver
    from layerforge.solver.loop import Solver

    test = TEXT.replace("dim: 8 ", "dim: 4000 ").replace("dim: 8}", "dim: 4000}")
    text = f"""base_lr: 0.1 lr_policy: "fixed" snapshot_prefix: "x" train_net_param {{ {TEXT} }}
               test_net_param {{ {test} }} test_iter: 1 test_interval: 1"""
    Solver(parse_solver(text, "solver.prototxt"), keep="outputs")
    monkeypatch.setattr(module, "memory_limit", lambda: (1_000_000, "the machine's memory"))
    with pytest.raises(NetError, match="test nets") as error:
        Solver(parse_solver(text, "solver.prototxt"), keep="outputs")
    assert "test_iter" in error.value.hint


def test_a_net_for_forward_only_takes_less():
    assert footprint(net("outputs", backward=False)).parameter_gradients == 0
    assert footprint(net("outputs", backward=False)).peak < footprint(net("outputs")).peak
