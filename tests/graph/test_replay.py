"""Forward passes that repeat: the same values as by the steps, and what makes them ordinary again."""

import gc
import os
import weakref
from functools import partial

import numpy as np
import pytest
from engine_fuzz import nets
from engines_compare import net_text
from hypothesis import HealthCheck, given, settings

import layerforge
from layerforge.core.errors import DeviceError, LayerForgeError, NetError
from layerforge.core.random import Random
from layerforge.core.storage import HOST
from layerforge.graph.memory import Memory
from layerforge.graph.replay import longest
from layerforge.net.build import build_net
from layerforge.net.share import share_parameters_with
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

try:
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)

CONV = """convolution_param {{ num_output: {} kernel_size: {} pad: {} weight_filler {{ type: "xavier" }}
  bias_filler {{ type: "uniform" min: -1 max: 1 }} }}"""
LAYERS = [
    f"Convolution a data > a {{ {CONV.format(16, 3, 1)} }}",
    "BatchNorm an a > a",
    "Scale as a > a { scale_param { bias_term: true } }",
    "ReLU ar a > a",
    f"Convolution b a > b {{ {CONV.format(16, 1, 0)} }}",
    "Eltwise e a b > e",
    "ReLU er e > e",
    "BatchNorm n e > n",
    f"Convolution d n > d {{ {CONV.format(32, 3, 1)} }}",
    "Pooling p d > p { pooling_param { kernel_size: 2 stride: 2 } }",
    "LRN l p > l",
    "Concat c p l > c",
    'InnerProduct i c > i { inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }',
    "Softmax s i > s",
]
ODD = "Power odd p > odd { power_param { power: 2 } }"  # which the engine refuses
BROKEN = [*LAYERS[:10], ODD, LAYERS[10].replace(" p >", " odd >"), LAYERS[12].replace(" c >", " l >"), LAYERS[13]]


class Twins:
    """A net whose passes may repeat, and the same net whose passes are ordinary."""

    def __init__(self, *layers, text="", phase=Phase.TEST, **how):
        made = parse_net(text or net_text(*(layers or LAYERS)), "net.prototxt")
        self.net, self.plain = self.nets = [
            build_net(made, phase, keep="outputs", backward=False, rng=Random(1), **how) for _ in range(2)
        ]
        self.plain.replay.run = lambda: False
        self.rng = np.random.default_rng(0)
        for name in self.net.params:
            if self.net.layer(name).type == "BatchNorm":
                self.change(name, 0), self.change(name, 1)
                for net in self.nets:
                    net.params[name][2].data.set(np.ones(1, np.float32))

    def change(self, layer, number):
        """Gives a parameter new values."""
        blob = self.net.params[layer][number]
        values = self.rng.uniform(0.5, 1.5, blob.count).astype(np.float32)
        for net in self.nets:
            net.params[layer][number].data.set(values)

    def outputs(self):
        """New inputs, and what each net makes of them."""
        blob = self.net.blobs["data"]
        values = self.rng.standard_normal(blob.shape).astype(np.float32)
        found = []
        for net in self.nets:
            net.blobs["data"].data.set(values)
            net.forward()
            found.append(net.blobs[net.outputs[0]].data.array(HOST).copy())
        return found

    def check(self, repeats):
        """A pass gives what the ordinary one gives, and repeats the one before or not."""
        before = self.net.replay.passes
        np.testing.assert_array_equal(*self.outputs())
        assert self.net.replay.passes == before + repeats

    def settle(self):
        """Runs until passes repeat, after two that do not."""
        for repeats in (False, False, True, True):
            self.check(repeats)

    def reshape(self, shape):
        """Gives the inputs another shape; what is taken for the old one is given up by the next pass."""
        for net in self.nets:
            net.blobs["data"].reshape(shape)
            net.reshape()


@pytest.fixture
def twins():
    found = Twins()
    found.settle()
    return found


def test_the_longest_stretch_is_found():
    assert longest([True, False, True, True, False, True]) == range(2, 4)
    assert longest([False]) == range(0)


def test_the_third_pass_repeats_the_second(twins):
    assert twins.net.replay.passes == 2


def test_kernels_run_alone():
    twins = Twins()
    twins.settle()
    for step in list(twins.net.steps)[2:-1]:
        step.forward = None  # nobody calls it
    twins.check(True)


def test_a_layer_that_the_engine_refuses_runs_beside_the_stretch():
    twins = Twins(*BROKEN)
    assert 0 < twins.net.replay.end < len(twins.net.steps)
    twins.settle()


def test_a_net_in_bfloat16_repeats():
    try:
        twins = Twins(compute_type="BF16")
    except DeviceError as error:
        pytest.skip(f"no bfloat16 here: {error}")
    twins.settle()


@pytest.mark.parametrize(("layer", "number"), [("a", 0), ("a", 1), ("an", 0), ("as", 1), ("n", 1), ("i", 0)])
def test_changed_parameters_end_it_for_two_passes(twins, layer, number):
    twins.change(layer, number)
    twins.settle()


def test_parameters_that_change_before_each_pass_are_followed(twins):
    for _ in range(3):
        twins.change("a", 0)
        twins.check(False)


def test_a_parameter_that_changes_within_the_noted_pass_is_followed():
    twins, passes = Twins(), []
    for net in twins.nets:
        last, weights = net.steps[-1].forward, net.params["a"][0].data

        def change_once(last=last, weights=weights):
            last()
            passes.append(1)
            if len(passes) in (3, 4):  # the second of each net
                weights.set(weights.array(HOST) * 2)

        net.steps[-1].forward = change_once
    for repeats in (False, False, False, False, True):
        twins.check(repeats)


def test_conversions_that_another_net_has_placed_are_looked_up():
    inner = LAYERS[12].replace("num_output: 5", "num_output: 32")
    twins, places = Twins(LAYERS[0], inner.replace(" c >", " a >"), inner.replace(" i c > i", " j i > j"),
                          LAYERS[13].replace(" i >", " j >")), []
    twins.settle()
    for net in twins.nets:
        storage = net.params["j"][0].data
        storage.array(HOST)
        (layout,) = (each for each in storage.kept() if each is not HOST)
        storage.places = {layout: layout.zeros(storage.count, storage.dtype)}
        storage.drop(layout)
        net.memory.give_up()
        places.append((storage, layout))
    for passed in range(4):
        mine, theirs = twins.outputs()
        np.testing.assert_array_equal(mine, theirs)
        assert np.isfinite(mine).all()
        for storage, layout in places if passed else ():  # as the other net does when it is done with it
            storage.drop(layout)
            storage.places[layout][...] = np.nan
    assert twins.net.replay.passes == 4


def test_a_parameter_that_a_user_holds_is_read_before_each_pass(twins):
    held = [net.params["b"][0].data.lend() for net in twins.nets]
    for factor in (2, 3, 4):
        for array in held:
            array *= factor
        twins.check(False)


def test_an_input_that_a_user_holds_is_read_before_each_pass(twins):
    held = [net.blobs["data"].data.lend() for net in twins.nets]
    for factor in (2, 3, 4):
        for array, net in zip(held, twins.nets):
            array[:] = factor * np.arange(array.size) % 7 - 3
            net.forward()
        np.testing.assert_array_equal(*(net.blobs["s"].data.array(HOST) for net in twins.nets))
    assert twins.net.replay.passes == 5


def test_parameters_of_another_net_end_it(twins):
    other = Twins()
    other.change("b", 0)
    for net in twins.nets:
        share_parameters_with(net, other.net)
    twins.settle()
    other.net.params["b"][0].data.set(np.ones(256, np.float32))
    twins.settle()


@pytest.mark.parametrize("kind", ["hooks", "step_hooks"])
def test_hooks_are_called_for_every_layer(twins, kind):
    seen = []
    hooks = [getattr(net, kind)["before_forward"] for net in twins.nets]
    hooks[0].append(seen.append), hooks[1].append(abs)
    twins.check(False)
    assert seen == list(range(len(twins.net.layers)))
    hooks[0].clear(), hooks[1].clear()
    for _ in range(3):
        twins.outputs()
    twins.check(True)


def test_other_shapes_end_it_to_and_fro(twins):
    for size in (5, 2, 5):
        twins.reshape((size, *twins.net.blobs["data"].shape[1:]))
        twins.settle()


def test_another_shape_of_as_many_values_ends_it():
    twins = Twins(*LAYERS[:10])
    twins.settle()
    n, c, h, w = twins.net.blobs["data"].shape
    twins.reshape((n, c, w, h))
    twins.settle()


def test_inputs_of_another_shape_end_it_without_a_call_of_reshape(twins):
    for size in (5, 2):
        for net in twins.nets:
            net.blobs["data"].reshape((size, *net.blobs["data"].shape[1:]))
        twins.check(False), twins.check(False)


@pytest.mark.parametrize("turn", [False, True])
def test_inputs_that_change_their_shape_within_a_pass_are_followed(twins, turn):
    shape = twins.net.blobs["data"].shape
    other = (shape[0], shape[1], shape[3], shape[2]) if turn else (5, *shape[1:])

    def feed(net, values):
        net.blobs["data"].reshape(values.shape)
        net.blobs["data"].data.set(values)

    for now in (shape, other, shape, other, other, other, other, other, shape):
        values = twins.rng.standard_normal(now).astype(np.float32)
        for net in twins.nets:
            net.steps[0].forward = partial(feed, net, values)
            net.forward()
        np.testing.assert_array_equal(*(net.blobs["s"].data.array(HOST) for net in twins.nets))
    assert twins.net.replay.passes > 3


def test_a_net_with_a_source_and_losses_repeats_what_lies_between():
    text = f"""layer {{ name: "x" type: "DummyData" top: "data" top: "label" dummy_data_param {{
      data_filler {{ type: "gaussian" }} data_filler {{ type: "constant" value: 1 }}
      shape {{ dim: 2 dim: 4 dim: 6 dim: 6 }} shape {{ dim: 2 }} }} }}
    layer {{ name: "c" type: "Convolution" bottom: "data" top: "c" {CONV.format(16, 3, 1)} }}
    layer {{ name: "d" type: "Convolution" bottom: "c" top: "d" {CONV.format(16, 3, 1)} }}
    layer {{ name: "p" type: "Pooling" bottom: "d" top: "p" pooling_param {{ global_pooling: true }} }}
    layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "p" bottom: "label" top: "loss" }}
    layer {{ name: "right" type: "Accuracy" bottom: "p" bottom: "label" top: "right" }}"""
    nets = [build_net(parse_net(text), Phase.TEST, keep="outputs", backward=False, rng=Random(1)) for _ in range(2)]
    nets[1].replay.run = lambda: False
    losses = [[net.forward() for _ in range(5)] for net in nets]
    assert losses[0] == losses[1] and len(set(losses[0])) == 5
    assert nets[0].replay.passes == 3


def test_memory_that_is_given_up_is_free_at_once_and_ends_it(twins):
    block = weakref.ref(twins.net.memory._block)
    twins.net.memory.give_up()
    assert block() is None
    twins.settle()


def test_a_pass_over_some_layers_ends_it(twins):
    for net in twins.nets:
        net.forward_from_to(0, 3)
    twins.settle()


def test_an_error_in_the_middle_leaves_the_net_whole(twins):
    calls = twins.net.memory.bound._calls
    kept, calls[len(calls) // 2] = calls[len(calls) // 2], lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        twins.outputs()
    with pytest.raises(NetError, match="not kept"):
        twins.net.blobs["p"].data.array(HOST)
    calls[len(calls) // 2] = kept
    twins.check(True)


def value(blob):
    try:
        return blob.data.array(HOST).tolist()
    except NetError as error:
        return error.message


def test_what_can_be_read_afterwards_is_what_an_ordinary_pass_leaves(twins):
    mine, theirs = ({name: value(blob) for name, blob in net.blobs.items()} for net in twins.nets)
    assert mine == theirs
    assert [name for name, each in mine.items() if "not kept" in each] != []


def test_a_value_that_a_user_writes_between_passes_does_no_harm(twins):
    for net in twins.nets:
        net.blobs["p"].data.set(np.full(net.blobs["p"].count, 7, np.float32))
    twins.check(True)
    with pytest.raises(NetError, match="not kept"):
        twins.net.blobs["p"].data.array(HOST)


def test_a_value_that_is_written_in_its_place_of_a_joined_one_stays_hidden():
    u, v = (f"Convolution {name} a > {name} {{ {CONV.format(16, size, pad)} }}"
            for name, size, pad in (("u", 1, 0), ("v", 3, 1)))
    twins = Twins(LAYERS[0], u, v, "Concat c u v > c", LAYERS[12], LAYERS[13])
    twins.settle()
    for net in twins.nets:
        for name in ("u", "v"):
            net.blobs[name].data.set(np.ones(net.blobs[name].count, np.float32))
    twins.outputs()
    mine, theirs = ([value(net.blobs[name]) for name in ("u", "v")] for net in twins.nets)
    assert mine == theirs and "not kept" in str(mine)
    for _ in range(3):
        twins.outputs()
    twins.check(True)


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(nets())
def test_random_nets_repeat_what_they_do(case):
    text, phase = case
    try:
        twins = Twins(text=text, phase=phase)
    except LayerForgeError:
        return  # a kernel larger than what is left
    for _ in range(4):
        twins.outputs()
        mine, theirs = ([str(value(blob)) for blob in net.blobs.values()] for net in twins.nets)  # NaN is NaN
        assert mine == theirs
    if phase is Phase.TEST and twins.net.replay.end:
        assert twins.net.replay.passes == 2


def test_poisoned_memory_is_used_by_ordinary_passes(twins, monkeypatch):
    monkeypatch.setattr(Memory, "poison", True)
    twins.check(False)


def test_other_threads_do_no_harm(twins):
    layerforge.set_threads(1)
    try:
        twins.check(True)
    finally:
        layerforge.set_threads(None)
    twins.check(True)


def test_nets_in_turns_do_not_disturb_each_other(twins):
    other = Twins()
    other.settle()
    for _ in range(2):
        twins.check(True), other.check(True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_goes_on(twins):
    child = os.fork()
    if not child:
        try:
            twins.check(True)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    twins.check(True)


def test_a_net_that_runs_backward_or_keeps_all_is_left_alone():
    made = parse_net(net_text(*LAYERS), "net.prototxt")
    for how in ({"keep": "outputs"}, {"keep": "all", "backward": False}, {"keep": "outputs", "engines": ()}):
        net = build_net(made, Phase.TEST, **how)
        for _ in range(4):
            net.forward()
        assert net.replay.passes == 0


def test_a_net_that_repeats_is_freed_with_its_last_reference(twins):
    gc.collect()
    gc.disable()
    try:
        left = [weakref.ref(each) for each in (*twins.net.layers, twins.net.memory._block)]
        twins.nets.pop(0)
        del twins.net
        assert [each for each in left if each() is not None] == []
    finally:
        gc.enable()
