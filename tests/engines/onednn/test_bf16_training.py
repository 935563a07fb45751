"""compute_type: BF16 trains to what float32 reaches, keeps small updates, and goes on from its snapshots."""

from __future__ import annotations

import contextlib
import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits
from tiny_solver import histories, parameters, same

from layerforge.cli.dataset import digits_table
from layerforge.core.errors import DeviceError
from layerforge.core.random import Random
from layerforge.core.storage import HOST
from layerforge.core.threads import limited
from layerforge.io.weights import load_weights
from layerforge.net.build import build_net
from layerforge.net.share import share_parameters_with
from layerforge.netdef.types import NetDef, Phase
from layerforge.schema.read import parse_net, parse_solver, read_net
from layerforge.solver.loop import Solver
from layerforge.solver.params import SolverParams
from layerforge.solver.updater import Updater

try:
    from layerforge.engines.onednn.library import check_type

    check_type("BF16")
except DeviceError as error:
    pytest.skip(f"no bfloat16 on this machine: {error}", allow_module_level=True)

ZOO = Path(__file__).resolve().parents[3] / "zoo"
BATCH, ITERATIONS = 64, 90
RULE = 'base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 weight_decay: 5e-4'


def lenet(batch: int) -> NetDef:
    """The zoo's LeNet with inputs in place of its databases."""
    net = read_net(ZOO / "lenet" / "train_val.prototxt")
    inputs = parse_net(f"""
        layer {{ name: "data" type: "Input" top: "data"
                 input_param {{ shape {{ dim: {batch} dim: 1 dim: 28 dim: 28 }} }} }}
        layer {{ name: "label" type: "Input" top: "label" input_param {{ shape {{ dim: {batch} }} }} }}""")
    return replace(net, layers=inputs.layers + tuple(layer for layer in net.layers if layer.type != "Data"))


def digits() -> tuple[np.ndarray, np.ndarray]:
    """1797 pictures (N, 1, 28, 28) in 0 to 1, in a fixed random order, and their labels."""
    with gzip.open(digits_table(), "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.float32)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    pictures = np.kron(rows[:, :64].reshape(-1, 1, 8, 8) / 16, np.ones((1, 1, 3, 3), np.float32))
    return np.pad(pictures, ((0, 0), (0, 0), (2, 2), (2, 2))), rows[:, 64]


def accuracy(kind: str) -> float:
    """Of LeNet on digits that it was not trained on."""
    pictures, labels = digits()
    tested = len(labels) - 400
    net = build_net(lenet(BATCH), Phase.TRAIN, rng=Random(1), keep="outputs", compute_type=kind)
    updater = Updater(net, SolverParams.from_definition(parse_solver(RULE)))
    for k in range(ITERATIONS):
        chosen = np.arange(k * BATCH, (k + 1) * BATCH) % tested
        net.blobs["data"].data.set(pictures[chosen])
        net.blobs["label"].data.set(labels[chosen])
        net.clear_gradients()
        updater.backward(k, net.forward(), lambda *_: None)
    test = build_net(lenet(400), Phase.TEST, keep="outputs", backward=False, compute_type=kind)
    share_parameters_with(test, net)
    test.blobs["data"].data.set(pictures[tested:])
    test.blobs["label"].data.set(labels[tested:])
    test.forward()
    return float(test.blobs["accuracy"].data.array(HOST)[0])


def test_lenet_reaches_the_accuracy_of_float32():
    with threadpool_limits(1), limited(1):  # so little work waits longer for threads than it takes
        reached = {kind: accuracy(kind) for kind in ("FP32", "BF16")}
    assert reached["FP32"] > 0.96
    assert reached["BF16"] > reached["FP32"] - 0.01


def test_updates_of_a_ten_thousandth_are_not_lost():
    """Nothing but weight decay: w ← w (1 - 1e-4), which bfloat16 would round back to w."""
    net = """
        layer { name: "x" type: "DummyData" top: "x" top: "t"
                dummy_data_param { shape { dim: 2 dim: 16 } shape { dim: 2 dim: 16 } } }
        layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
                inner_product_param { num_output: 16 bias_term: false weight_filler { value: 1 } } }
        layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "loss" }"""
    text = f'base_lr: 0.01 weight_decay: 0.01 lr_policy: "fixed" compute_type: BF16 max_iter: 200 net_param {{ {net} }}'
    with contextlib.closing(Solver(parse_solver(text), weights=())) as solver:
        solver.step(200)
        weights = solver.net.params["ip"][0].data.array(HOST)
    np.testing.assert_allclose(weights, (1 - 1e-4) ** 200, rtol=1e-5)


LAYERS = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 4 dim: 3 dim: 9 dim: 9 } shape { dim: 4 }
                     data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 20 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@pytest.fixture(params=["all", "outputs"])
def solver(request, make_bf16):
    return make_bf16(request.param)


@pytest.fixture
def make_bf16(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(keep):
        text = f'{RULE} compute_type: BF16 max_iter: 6 random_seed: 3 snapshot_prefix: "s" net_param {{ {LAYERS} }}'
        return Solver(parse_solver(text), weights=(), keep=keep)

    return make


def test_a_run_goes_on_from_a_snapshot_bit_for_bit(solver, make_bf16):
    solver.step(3)
    state = solver.snapshot()
    solver.step(3)
    resumed = make_bf16(solver.net.keep)
    resumed.restore(state)
    resumed.step(3)
    same(parameters(resumed), parameters(solver))
    same(histories(resumed), histories(solver))


def test_a_snapshot_holds_weights_with_all_their_digits(solver, tmp_path):
    solver.step(3)
    solver.snapshot()
    net = build_net(parse_net(LAYERS), engines=())
    load_weights(net, str(tmp_path / "s_iter_3.caffemodel"))
    for name in ("conv", "ip"):
        stored, own = (each.params[name][0].data.array(HOST) for each in (net, solver.net))
        assert np.array_equal(stored, own)
        assert (stored.view(np.uint32) & 0xFFFF).any()


def test_arrays_of_parameters_that_a_script_holds_stay_those_of_the_run(make_bf16):
    solver = make_bf16("all")
    weights = solver.net.params["ip"][0].data.lend()
    solver.step(1)
    before = weights.copy()
    weights[...] = 1 + 2**-12  # no bfloat16 number
    solver.net.forward()
    assert (before != weights).any() and (weights == np.float32(1 + 2**-12)).all()
    assert (solver.net.params["ip"][0].data.array(HOST) == np.float32(1 + 2**-12)).all()


SHARED = """
layer { name: "data" type: "DummyData" top: "a" top: "b"
  dummy_data_param { shape { dim: 4 dim: 3 dim: 9 dim: 9 } data_filler { type: "gaussian" } } }
layer { name: "ca" type: "Convolution" bottom: "a" top: "ca" param { name: "w" } param { name: "v" }
  convolution_param { num_output: 20 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "cb" type: "Convolution" bottom: "b" top: "cb" param { name: "w" } param { name: "v" }
  convolution_param { num_output: 20 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ca" bottom: "cb" top: "loss" }
"""


@pytest.mark.parametrize(("fields", "net"), [("iter_size: 3", LAYERS.replace("Dropout", "ReLU")), ("", SHARED)])
def test_gradients_that_add_up_move_the_weights_as_in_float32(fields, net):
    """Over iter_size batches, and over two uses of a parameter."""
    moved = []
    for kind in ("FP32", "BF16"):
        text = f"{RULE} {fields} compute_type: {kind} max_iter: 2 random_seed: 3 net_param {{ {net} }}"
        with contextlib.closing(Solver(parse_solver(text), weights=())) as solver:
            weights = solver.net.learnable[0].blob.data
            before = weights.array(HOST).copy()
            solver.step(2)
            moved.append(weights.array(HOST) - before)
    assert np.linalg.norm(moved[1] - moved[0]) < 0.02 * np.linalg.norm(moved[0])
