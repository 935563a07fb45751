"""Concat without copies, in inference."""

import numpy as np
import pytest
from inference_pair import distance, feed, pair

from layerforge.core.errors import DeviceError, NetError
from layerforge.core.storage import HOST
from layerforge.graph.memory import Memory

try:
    from layerforge.engines.onednn.compiled import compiler
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)
if compiler() is None or not compiler().wide:
    pytest.skip("llvmlite, libgomp or AVX-512 is not here: no convolution writes slices", allow_module_level=True)

def conv(name, bottom, outputs, fields="kernel_size: 1", relu=True):
    behind = f'layer {{ name: "{name}r" type: "ReLU" bottom: "{name}" top: "{name}" }}' if relu else ""
    return f"""layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" convolution_param {{
        num_output: {outputs} {fields} weight_filler {{ type: "msra" }} }} }} {behind}"""


INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 16 dim: 9 dim: 8 } } }'
FIRST = conv("first", "x", 16)
POOL = 'layer { name: "p" type: "Pooling" bottom: "first" top: "p" pooling_param { kernel_size: 3 stride: 1 pad: 1 } }'
LAST = conv("last", "c", 8, relu=False)


def concat(*bottoms):
    return f"""layer {{ name: "c" type: "Concat" {" ".join(f'bottom: "{each}"' for each in bottoms)} top: "c" }}"""


ALL = INPUT + FIRST + conv("a", "first", 24) + conv("b", "first", 32, "kernel_size: 3 stride: 1 pad: 1") + concat(
    "a", "b") + LAST
MIXED = INPUT + FIRST + conv("a", "first", 24) + POOL + conv("b", "first", 21) + conv("d", "p", 8) + concat(
    "a", "p", "b", "d") + LAST


def copies(net):
    """How many values the Concat copies."""
    number = net.layer_names.index("c")
    return len(next(step for step in net.steps if number in step.layers).work.forwards)


@pytest.mark.parametrize("definition, copied", [(ALL, 0), (MIXED, 2)], ids=["all", "some"])
def test_convolutions_write_their_slices(definition, copied, monkeypatch):
    monkeypatch.setattr(Memory, "poison", True)
    nets = pair(definition)
    assert copies(nets[0]) == copied
    assert distance(nets) < 1e-6 and distance(nets) < 1e-6


def test_winograds_convolution_writes_its_slice():
    x = INPUT.replace("dim: 9 dim: 8", "dim: 18 dim: 17")
    nets = pair(x + conv("first", "x", 32) + conv("a", "first", 32, "kernel_size: 3 pad: 1") + conv("b", "first", 24)
                + concat("b", "a") + LAST)
    assert copies(nets[0]) == 0 and distance(nets) < 3e-6


def test_a_joined_output_of_the_net_is_whole():
    nets = pair(ALL.replace(LAST, ""))
    assert copies(nets[0]) == 0 and distance(nets, "c") < 1e-6


@pytest.mark.parametrize("definition, reason", [
    (ALL + conv("other", "a", 8), "another reader"),
    (INPUT + FIRST + conv("a", "first", 24) + concat("a", "x") + LAST, "channels that may change"),
    (INPUT + FIRST + conv("a", "first", 24) + concat("a", "a") + LAST, "twice the same"),
    (ALL.replace('top: "c"', 'top: "c" concat_param { axis: 2 }').replace("24", "32"), "another axis"),
    (ALL.replace('layer { name: "ar" type: "ReLU"', 'layer { name: "ar" type: "TanH"').replace(
        'layer { name: "br" type: "ReLU"', 'layer { name: "br" type: "TanH"'), "another layer in place"),
], ids=lambda value: value if len(value) < 40 else "")
def test_others_are_copied(definition, reason):
    nets = pair(definition)
    work = next(s for s in nets[0].steps if nets[0].layer_names.index("c") in s.layers).work
    assert work.forwards and distance(nets) < 1e-6, reason


def test_values_that_are_kept_are_copied():
    nets = pair(ALL, keep="all")
    assert copies(nets[0]) == 1 and distance(nets) < 1e-6 and distance(nets, "a") < 1e-6


def test_shapes_to_and_fro():
    nets = pair(MIXED)
    for shape in ((3, 16, 5, 7), (2, 16, 9, 8), (1, 16, 5, 7), (3, 16, 5, 7)):
        for net in nets:
            net.blobs["x"].reshape(shape)
            net.reshape()
        feed(nets)
        assert distance(nets) < 1e-6


def test_hooks_see_the_values():
    nets, seen = pair(ALL), [{}, {}]
    for net, found in zip(nets, seen):
        def look(number, net=net, found=found):
            if net.layer_names[number] in ("ar", "c"):
                blob = net.blobs["a" if net.layer_names[number] == "ar" else "c"]
                found[net.layer_names[number]] = blob.data.array(HOST).copy()
        net.hooks["after_forward"].append(look)
    assert distance(nets) < 1e-6
    for name in ("ar", "c"):
        np.testing.assert_allclose(seen[0][name], seen[1][name], rtol=1e-4, atol=1e-5)


def test_a_pass_that_ends_before_the_join_leaves_the_values():
    nets = pair(ALL)
    end = nets[0].layer_names.index("br")
    for net in nets:
        net.forward_from_to(0, end)
    a, b = (net.blobs["a"].data.array(HOST) for net in nets)
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    for net in nets:
        net.forward_from_to(end + 1, len(net.layers) - 1)
    a, b = (net.blobs["last"].data.array(HOST) for net in nets)
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_values_that_lie_elsewhere_are_not_read_as_zeros():
    net = pair(ALL)[0]
    net.forward()
    with pytest.raises(NetError, match="not kept"):
        net.blobs["a"].data.array(HOST)
