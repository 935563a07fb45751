"""Compiled loops: update rules in one sweep, normalisations and residual sums in two."""

import numpy as np
import pytest
from engines_compare import Pair, net_text

from layerforge.backends import get_backend
from layerforge.core.errors import DeviceError
from layerforge.engines.onednn import compiled
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

try:
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)
if compiled.compiler() is None:
    pytest.skip("no compiled loops: llvmlite or libgomp is missing", allow_module_level=True)

from layerforge.engines.onednn.update import CompiledUpdateOps  # noqa: E402

RULES = [
    ("sgd", 1, dict(momentum=0.9)),
    ("nesterov", 1, dict(momentum=0.9)),
    ("adagrad", 1, dict(delta=1e-8)),
    ("rmsprop", 1, dict(decay=0.9, delta=1e-8)),
    ("adadelta", 2, dict(decay=0.9, delta=1e-6)),
    ("adam", 2, dict(correction=0.7, beta1=0.9, beta2=0.99, delta=1e-8)),
    ("adam", 2, dict(correction=0.7, beta1=0.9, beta2=0.99, delta=1e-8, decoupled=True)),
]


@pytest.mark.parametrize("size", [1, 16, 1000, 5003])
@pytest.mark.parametrize("decay", [dict(l2=5e-4), dict(l1=1e-3, scale=0.3)])
@pytest.mark.parametrize("name, histories, numbers", RULES)
def test_a_rule_in_one_sweep_moves_as_numpys_does(name, histories, numbers, decay, size):
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(0, 2, size).astype(np.float32) for _ in range(2 + histories)]
    arrays[0] -= 1
    both = [[each.copy() for each in arrays] for _ in range(2)]
    for ops, (w, g, *history) in zip((get_backend("numpy").ops, CompiledUpdateOps()), both):
        for _ in range(3):
            g[...] = arrays[1]
            getattr(ops, f"update_{name}")(w, g, *history, lr=0.1, **numbers, **decay)
    for want, got in zip(*both):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


def test_a_rule_takes_numpys_way_in_float64():
    arrays = [np.full(32, value) for value in (1.0, 0.5, 0.0)]
    CompiledUpdateOps().update_sgd(*arrays, lr=0.1, momentum=0.9)
    assert arrays[0][0] == 1.0 - 0.05


CONV = 'convolution_param { num_output: 32 kernel_size: 3 pad: 1 bias_term: false weight_filler { type: "msra" } }'
RESIDUAL = (
    f"Convolution a data > a {{ {CONV} }}", f"Convolution b a > b {{ {CONV} }}", "BatchNorm bn b > b",
    "Scale bs b > b { scale_param { bias_term: true } }", "Eltwise e a b > e", "ReLU r e > e",
)
NEXT = f"Convolution c e > c {{ {CONV} }}", f"Convolution d e > d {{ {CONV} }}"
RESIDUALS = {
    "sum, ReLU, Split": (*RESIDUAL, *NEXT),
    "sum, Split": (*RESIDUAL[:-1], *NEXT),
    "sum, ReLU": (*RESIDUAL, NEXT[0]),
    "sum": (*RESIDUAL[:-1], NEXT[0]),
}


@pytest.mark.parametrize("name", RESIDUALS)
def test_a_residual_block_is_one_step_in_training_and_agrees(name):
    pair = Pair(net_text(*RESIDUALS[name], shape=(3, 5, 9, 7)), keep="outputs")
    step = next(step for step in pair.engine.steps if pair.engine.layer_names.index("bn") in step.layers)
    types = [pair.engine.layers[i].type for i in step.layers]
    assert types[:4] == ["Convolution", "BatchNorm", "Scale", "Eltwise"]
    assert ("ReLU" in types, "Split" in types) == ("ReLU" in name, "Split" in name)
    for _ in range(3):
        pair.run()


def test_a_residual_block_whose_other_side_wants_no_gradient_stays_apart():
    lines = [line.replace(" a b > e", " data b > e") if "Eltwise" in line else line for line in RESIDUALS["sum, ReLU"]]
    text = net_text(*lines, shape=(3, 32, 9, 7)).replace("force_backward: true", "")
    pair = Pair(text, keep="outputs")
    step = next(step for step in pair.engine.steps if pair.engine.layer_names.index("bn") in step.layers)
    assert "Eltwise" not in [pair.engine.layers[i].type for i in step.layers]
    pair.run()


@pytest.mark.parametrize("shape", [(2, 20, 1, 1), (1, 32, 37, 3), (2, 24, 3, 4)])
@pytest.mark.parametrize("relu", [True, False])
def test_normalisation_agrees_whatever_rows_and_padding(shape, relu):
    lines = [f"Convolution c data > c {{ {CONV.replace('32', str(shape[1])).replace('3 pad: 1', '1')} }}",
             "BatchNorm bn c > c", "Scale bs c > c { scale_param { bias_term: true } }", *(["ReLU r c > c"] * relu)]
    pair = Pair(net_text(*lines, shape=shape), Phase.TRAIN)
    for _ in range(2):
        pair.run()


def test_without_compiled_loops_primitives_serve(monkeypatch):
    for module in ("sweep", "engine"):
        monkeypatch.setattr(f"layerforge.engines.onednn.{module}.compiler", lambda: None)
    pair = Pair(net_text(*RESIDUALS["sum, ReLU, Split"], shape=(3, 5, 9, 7)), keep="outputs")
    kernels = [kernel.name for step in pair.engine.steps if step.engine == "ONEDNN" for kernel in step.kernels()]
    assert "batch_normalization_forward" in kernels and "norm_forward" not in kernels
    pair.run()


POOLED = (
    f"Convolution c data > c {{ {CONV.replace('32', '20')} }}", "ReLU r c > c",
    "Pooling p c > p { pooling_param { kernel_size: 3 stride: 2 } }",
)


@pytest.mark.parametrize("behind", [[], ["Dropout d p > p { dropout_param { dropout_ratio: 0 } }"], ["LRN l p > l"]])
def test_convolution_relu_and_maxima_are_one_step_in_training_and_agree(behind):
    pair = Pair(net_text(*POOLED, *behind, shape=(3, 5, 11, 8)), keep="outputs")
    assert pair.engine.steps[1].layers == (1, 2, 3)
    for _ in range(3):
        pair.run()


@pytest.mark.parametrize("lines", [
    (*POOLED, "ELU e p > p"),  # the signs are not those of the maxima any more
    (POOLED[0], "ReLU r c > c { relu_param { negative_slope: 0.1 } }", POOLED[2]),
    (*POOLED[:2], POOLED[2].replace("kernel_size", "pool: AVE kernel_size")),
])
def test_other_chains_with_pooling_stay_apart_and_agree(lines):
    pair = Pair(net_text(*lines, shape=(3, 5, 11, 8)), keep="outputs")
    assert pair.engine.steps[1].layers == (1, 2)
    pair.run()


def test_an_llvmlite_that_is_too_old_is_as_good_as_none(monkeypatch):
    monkeypatch.delattr("llvmlite.binding.create_new_module_pass_manager")
    assert compiled.compiler.__wrapped__() is None


@pytest.mark.parametrize("layer, engine", [("Bias b data > b { bias_param { axis: 1 } }", False),
                                           ("Scale b data > b { scale_param { axis: 1 } }", True)])
def test_updates_are_compiled_where_the_engine_runs_anything(layer, engine):
    net = build_net(parse_net(net_text(layer), "net.prototxt"), Phase.TRAIN)
    assert isinstance(net.update_ops, CompiledUpdateOps) == (net.running.pool is not None) == engine
