"""Training with the engine is training without it, within rounding: accumulation, sharing, test nets, reshapes."""

import numpy as np
import pytest
from engines_compare import Pair, agree, net_text

from layerforge.core.errors import DeviceError
from layerforge.core.storage import HOST
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net, parse_solver
from layerforge.solver.loop import Solver

try:
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)

FILL = 'weight_filler { type: "gaussian" std: 0.2 } bias_filler { type: "gaussian" std: 0.2 }'
CONV = f"convolution_param {{ num_output: 20 kernel_size: 3 {FILL} }}"
NO_BIAS = CONV.replace("num_output", "bias_term: false num_output")  # before BatchNorm its gradient is rounding alone
NET = f"""
layer {{ name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param {{ shape {{ dim: 4 dim: 3 dim: 9 dim: 9 }} shape {{ dim: 4 }}
                     data_filler {{ type: "gaussian" }} data_filler {{ value: 1 }} }} }}
layer {{ name: "c" type: "Convolution" bottom: "data" top: "c" {NO_BIAS} }}
layer {{ name: "n" type: "BatchNorm" bottom: "c" top: "c" }}
layer {{ name: "s" type: "Scale" bottom: "c" top: "c" scale_param {{ bias_term: true }} }}
layer {{ name: "r" type: "ReLU" bottom: "c" top: "c" }}
layer {{ name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param {{ kernel_size: 3 stride: 2 }} }}
layer {{ name: "d" type: "Convolution" bottom: "p" top: "d" {CONV} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "d" top: "ip" inner_product_param {{ num_output: 5 {FILL} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""


def solvers(fields, net=NET):
    """The same training with the engine and without."""
    text = f'base_lr: 0.05 lr_policy: "fixed" max_iter: 9 random_seed: 5 {fields} net_param {{ {net} }}'
    return [Solver(parse_solver(text), weights=(), **more) for more in ({}, {"engines": ()})]


def parameters_agree(pair):
    for one, other in zip(*(solver.net.learnable for solver in pair)):
        agree(one.name, *(each.blob.data.array(HOST) for each in (one, other)), rtol=1e-3, atol=2e-4)


RULES = [
    "momentum: 0.9",
    'type: "Nesterov" momentum: 0.9',
    'type: "AdaGrad"',
    'type: "RMSProp" rms_decay: 0.9 base_lr: 0.01',
    'type: "AdaDelta" momentum: 0.9 delta: 1e-6',
    'type: "Adam" momentum: 0.9 base_lr: 0.001',
]


@pytest.mark.parametrize("fields", [*RULES, "momentum: 0.9 iter_size: 3", "clip_gradients: 0.5", "weight_decay: 0.01"])
def test_every_rule_moves_the_parameters_alike(fields):
    if "base_lr" in fields:
        fields, _, rate = fields.partition("base_lr: ")
        pair = solvers(fields)
        for solver in pair:
            object.__setattr__(solver.params, "base_lr", float(rate))
    else:
        pair = solvers(fields)
    for solver in pair:
        solver.step(4)
    parameters_agree(pair)


def test_parameters_gradients_and_histories_stay_in_the_engines_layout():
    solver = solvers("momentum: 0.9")[0]
    weights = solver.net.params["d"][0]
    assert weights.data.home is not HOST and weights.diff.home is weights.data.home


def test_a_test_net_shows_every_update():
    pair = solvers("momentum: 0.9 test_iter: 1 test_interval: 100 test_initialization: false")
    x = np.random.default_rng(3).standard_normal((4, 3, 9, 9)).astype(np.float32)
    seen = []
    for _ in range(3):
        outputs = []
        for solver in pair:
            solver.step(1)
            test = solver.test_nets[0]
            test.forward()
            test.blobs["data"].data.set(x)
            test.forward_from_to(1, len(test.layers) - 2)
            outputs.append(test.blobs["ip"].data.array(HOST).copy())
        agree("ip of the test net", *outputs, rtol=1e-3, atol=1e-3)
        seen.append(outputs[0])
    assert not np.allclose(seen[0], seen[1]) and not np.allclose(seen[1], seen[2])


def test_shared_weights_add_up_their_gradients():
    names = 'param { name: "w" } param { name: "b" }'
    shared = f"{names} convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 {FILL} }}"
    pair = Pair(
        net_text(
            f"Convolution a data > a {{ {shared} }}",
            f"Convolution b a > b {{ {shared} }}",
            f"Convolution c data > c {{ {shared} }}",
            "Eltwise j b c > j",
        )
    )
    for _ in range(3):
        pair.run()
    pair.backward(clear=False)


def test_shared_weights_of_other_layouts_agree():
    shared = f'param {{ name: "w" share_mode: PERMISSIVE }} convolution_param {{ bias_term: false {FILL}'
    pair = Pair(
        net_text(
            f"Convolution a data > a {{ {shared} num_output: 4 kernel_size: 3 }} }}",
            f"Convolution b data > b {{ {shared} num_output: 36 kernel_size: 1 }} }}",
        )
    )
    pair.run()
    pair.run()


def test_gradients_add_up_over_two_backward_passes():
    pair = Pair(net_text(f"Convolution c data > c {{ {CONV} }}", "ReLU r c > q"))
    pair.run()
    pair.backward(clear=False)
    pair.forward()
    pair.backward(clear=False)


def test_frozen_weights_with_a_learned_bias():
    pair = Pair(
        net_text(
            f"Convolution c data > c {{ param {{ lr_mult: 0 }} {CONV} }}",
            f"InnerProduct i c > i {{ param {{ lr_mult: 0 }} inner_product_param {{ num_output: 3 {FILL} }} }}",
        ).replace("force_backward: true", "")
    )
    pair.run()


def test_shapes_may_change_between_runs():
    pair = Pair(
        net_text(
            f"Convolution c data > c {{ {CONV} }}",
            "ReLU r c > c",
            "BatchNorm n c > c",
            "Pooling p c > p { pooling_param { kernel_size: 3 stride: 2 } }",
            "LRN l p > l",
            "Softmax s l > s",
        )
    )
    for shape in ((2, 6, 9, 8), (3, 6, 9, 8), (2, 6, 12, 7), (1, 6, 9, 8), (2, 6, 9, 8)):
        for net in pair.nets:
            net.blobs["data"].reshape(shape)
            net.reshape()
        pair.run()
        assert pair.engine.blobs["c"].shape[0] == shape[0]


def test_reshaping_an_input_alone_is_enough():
    pair = Pair(net_text(f"Convolution c data > c {{ {CONV} }}", "ReLU r c > c"))
    pair.run()
    for net in pair.nets:
        net.blobs["data"].reshape((5, 6, 9, 8))
    pair.run()


def test_dropout_and_flatten_between_layers_of_the_engine():
    pair = Pair(
        net_text(
            f"Convolution c data > c {{ {CONV} }}",
            "ReLU r c > c",
            "Dropout d c > c",
            "Flatten f c > f",
            f"InnerProduct i f > i {{ inner_product_param {{ num_output: 7 {FILL} }} }}",
            "Dropout e i > i",
            "Sigmoid s i > s",
        )
    )
    pair.run()
    pair.run()


def test_values_written_in_the_middle_count():
    net = build_net(parse_net(net_text(f"Convolution c data > c {{ {CONV} }}", "ReLU r c > q")), Phase.TRAIN)
    net.forward()
    net.blobs["c"].data.set(np.full(net.blobs["c"].shape, -1, np.float32))
    net.forward_from_to(2, 2)
    assert (net.blobs["q"].data.array(HOST) == 0).all()


@pytest.mark.parametrize("kind", ["ELU", "Swish"])
def test_an_activation_whose_output_is_overwritten_has_the_layers_own_gradient(kind):
    tail = f'layer {{ name: "e" type: "{kind}" bottom: "d" top: "e" }}'
    tail += ' layer { name: "o" type: "Sigmoid" bottom: "e" top: "e" }'
    net = NET.replace('layer { name: "ip"', tail + ' layer { name: "ip"')
    net = net.replace('bottom: "d" top: "ip"', 'bottom: "e" top: "ip"')
    pair = solvers("momentum: 0.9", net)
    for solver in pair:
        solver.step(3)
    parameters_agree(pair)
