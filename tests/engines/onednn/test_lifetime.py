"""What a net has made in oneDNN goes with the net."""

import gc
from collections import Counter

import pytest
from engines_compare import net_text

from layerforge.core.errors import DeviceError
from layerforge.core.storage import HOST
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

try:
    from layerforge.engines.onednn.library import load

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
