"""What a net has made in oneDNN goes with the net."""

import gc
from collections import Counter

import numpy as np
import pytest
from engines_compare import net_text

from layerforge.core.errors import DeviceError
from layerforge.core.random import Random
from layerforge.core.storage import HOST
from layerforge.engines.step import MAX_SHAPES
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

try:
    from layerforge.engines.onednn.library import load
    from layerforge.engines.onednn.normed import Folded

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)

CONV = 'convolution_param { num_output: 16 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } }'
LAYERS = [
    f"Convolution a data > a {{ {CONV} }}",
    "BatchNorm an a > a",
    "ReLU ar a > a",
    f"Convolution b a > b {{ {CONV} }}",
    "Eltwise e a b > e",
    "Pooling p e > p { pooling_param { kernel_size: 2 stride: 2 } }",
    "LRN l p > l",
    "Concat c p l > c",
    'InnerProduct i c > i { inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }',
    "Softmax s i > s",
]


@pytest.fixture
def alive(monkeypatch):
    """How many objects of each kind oneDNN holds that were made since."""
    library, counts = load(), Counter()
    call = library.call

    def counting(name, *arguments):
        call(name, *arguments)
        kind, _, verb = name.rpartition("_")
        if verb in ("create", "clone", "destroy"):
            kind = "primitive_desc" if kind.endswith("primitive_desc") else kind
            counts[kind] += -1 if verb == "destroy" else 1
        elif "_create_" in name:
            counts[name.partition("_create_")[0]] += 1

    gc.collect()
    monkeypatch.setattr(library, "call", counting)
    return counts


@pytest.mark.parametrize("keep", ["all", "outputs"])
def test_nothing_stays_of_a_net_that_is_dropped(alive, keep):
    net = build_net(parse_net(net_text(*LAYERS)), Phase.TRAIN, keep=keep)
    net.forward()
    net.backward()
    for blob in net.params.values():
        blob[0].data.array(HOST)
    assert alive["primitive"] > 10 and alive["memory"] > 20 and alive["memory_desc"] > 5
    net.close()
    del net, blob
    gc.collect()
    assert {kind: count for kind, count in alive.items() if count} == {}


def test_a_net_whose_shapes_keep_changing_keeps_the_plans_of_some(alive):
    net = build_net(parse_net(net_text(*LAYERS[:-2])), Phase.TRAIN)
    counts = []
    for size in range(2, 8 + MAX_SHAPES):
        net.blobs["data"].reshape((size, 6, 9, 8))
        net.forward()
        net.backward()
        gc.collect()
        counts.append(alive["primitive"])
    assert counts[-1] - counts[-6] < (counts[5] - counts[0]) / 2  # conversions between layouts stay


def test_folded_weights_are_made_once_for_all_shapes():
    net = build_net(parse_net(net_text(*LAYERS[:3])), Phase.TEST, backward=False)
    found = set()
    for samples in (2, 3, 4):
        net.blobs["data"].reshape((samples, 6, 9, 8))
        net.forward()
        found.update(run for step in net.steps[1:] for run in step.work.forwards if isinstance(run, Folded))
    assert len(found) == 1


def test_a_reshape_that_changes_nothing_keeps_what_backward_needs():
    net = build_net(parse_net(net_text(*LAYERS[:-2])), Phase.TRAIN)
    found = []
    for size in range(2, 4 + MAX_SHAPES):  # the last is not among those kept
        net.blobs["data"].reshape((size, 6, 9, 8))
        net.reshape()
    for again in (False, True):
        net.blobs["data"].data.set(np.linspace(-1, 1, net.blobs["data"].count, dtype=np.float32))
        net.forward()
        if again:
            net.reshape()
        net.blobs["c"].diff.set(np.ones(net.blobs["c"].shape, np.float32))
        net.clear_gradients()
        net.backward()
        found.append(net.params["a"][0].diff.array(HOST).copy())
    np.testing.assert_array_equal(*found)


def test_drawn_weights_are_not_held_beside_those_that_kernels_read():
    text = net_text('Convolution c data > c { convolution_param { num_output: 32 kernel_size: 3'
                    ' weight_filler { type: "xavier" } } }', "BatchNorm n c > c", shape=(2, 32, 9, 9))
    nets = [build_net(parse_net(text), Phase.TEST, rng=Random(4), backward=False, engines=engines)
            for engines in (None, ())]
    for net in nets:
        net.forward()
    w, want = (net.params["c"][0].data for net in nets)
    assert w.held(HOST) is None
    assert np.array_equal(w.array(HOST), want.array(HOST))


@pytest.mark.parametrize("keep, held", [("outputs", False), ("all", True)])
def test_weights_stay_in_the_layout_of_their_kernel_alone_in_a_packed_net_that_only_runs_forward(keep, held):
    text = net_text('InnerProduct c data > c { inner_product_param { num_output: 64 } }', shape=(8, 3, 16, 16))
    net = build_net(parse_net(text), Phase.TEST, backward=False, keep=keep)
    given = np.random.default_rng(0).standard_normal(64 * 768).astype(np.float32)
    w = net.params["c"][0].data
    w.set(given)
    net.forward()
    read = {representation for storage, representation, *_ in net.steps[-1].uses().forward if storage is w}
    if read == {HOST}:
        pytest.skip("oneDNN's kernel here reads plain weights")
    assert (w.held(HOST) is not None) is held
    assert np.array_equal(w.array(HOST), given)


def test_weights_that_a_user_holds_stay_in_plain_order_too():
    text = net_text('InnerProduct c data > c { inner_product_param { num_output: 64 } }', shape=(8, 3, 16, 16))
    net = build_net(parse_net(text), Phase.TEST, backward=False, keep="outputs")
    mine = net.params["c"][0].data.lend()
    for value in (1, 2):
        mine[...] = value
        net.blobs["data"].data.set(np.ones(net.blobs["data"].shape, np.float32))
        net.forward()
        assert (net.blobs["c"].data.array(HOST) == value * 768).all()
