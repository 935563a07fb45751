"""Nets whose pictures the device decodes: they train as on the CPU, and a batch lies where the convolution reads it."""

import lmdb
import numpy as np
import pytest
from cpu_kernels import needs_compiler
from numpy_cudnn import NumpyRunner
from picture_device import compressed, picture, picture_device
from streams import ORDERS
from tiny_solver import parameters, solver_text

from layerforge.core.random import Random
from layerforge.core.storage import HOST
from layerforge.data.datum import make_datum
from layerforge.engines.cudnn.engine import CudnnEngine
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net, parse_solver
from layerforge.solver.loop import Solver

DATA = """layer { name: "data" type: "Data" top: "data" top: "label"
  transform_param { crop_size: 12 mirror: true mean_value: 104 scale: 0.017 }
  data_param { source: "db" batch_size: 4 backend: LMDB } }"""
NET = DATA + """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }"""


@pytest.fixture(autouse=True)
def database(tmp_path, monkeypatch):
    needs_compiler()
    monkeypatch.chdir(tmp_path)
    with lmdb.open("db", map_size=1 << 22) as environment, environment.begin(write=True) as write:
        for i in range(7):
            write.put(b"%08d" % i, make_datum(compressed(picture(16, 18, i)), i, encoded=True))


def trained(backend, steps=8, **how):
    solver = Solver(parse_solver(solver_text(net=NET, base_lr=0.01), "solver.prototxt"), backend=backend, **how)
    solver.step(steps)
    solver.close()
    return solver


def test_recorded_training_is_that_of_the_cpu():
    recorded, cpu = trained(picture_device()), trained(None, engines=())
    assert not recorded.iterations.reason and recorded.iterations.launches >= 5
    assert not recorded.passes.reasons and recorded.net.layers[0].source.decoding is not None
    for mine, theirs in zip(parameters(recorded), parameters(cpu), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)


def test_recorded_training_is_that_step_by_step_to_the_last_bit():
    for keep in ("all", "outputs"):
        recorded, stepwise = trained(picture_device(), keep=keep), trained(picture_device(records=False), keep=keep)
        for mine, theirs in zip(parameters(recorded), parameters(stepwise), strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("order", ORDERS)
def test_order_of_the_streams_changes_no_bit(order):
    want, got = trained(picture_device(), 6), trained(picture_device(order=order), 6)
    for mine, theirs in zip(parameters(got), parameters(want), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def forward(keep, kind="BF16", text=NET, count=2):
    device = picture_device()
    net = build_net(parse_net(text, "net"), Phase.TEST, backend=device, rng=Random(1), keep=keep,
                    engines=[CudnnEngine(device, NumpyRunner(device), kind)])
    for _ in range(count):
        net.forward()
    net.close()
    return net, device


def layouts(net, device):
    held = net.blobs["data"].data.fresh()
    return [hasattr(r, "form") for r in held if r is not HOST], device.representation in held


def test_batch_is_written_in_the_layout_that_the_convolution_reads():
    net, device = forward("outputs")
    assert layouts(net, device) == ([True], False)


def test_batch_that_may_be_looked_at_is_written_plain():
    net, device = forward("all")
    assert layouts(net, device)[1]


def test_batch_that_others_read_too_is_written_plain():
    more = NET + 'layer { name: "abs" type: "AbsVal" bottom: "data" top: "abs" }'
    net, device = forward("outputs", text=more)
    assert layouts(net, device)[1]


@pytest.mark.parametrize("kind", ["FP32", "BF16"])
def test_layout_changes_no_result(kind):
    plain, direct = forward("all", kind)[0], forward("outputs", kind)[0]
    np.testing.assert_array_equal(direct.blobs["loss"].data.array(HOST), plain.blobs["loss"].data.array(HOST))
