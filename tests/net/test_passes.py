"""Which part of a net is recorded, and why not."""

import pytest
from cpu_kernels import needs_compiler
from tape import TapeBackend

from layerforge.backends import get_backend
from layerforge.core.errors import OutOfMemory
from layerforge.core.random import Random
from layerforge.net.build import build_net
from layerforge.net.passes import Passes, recorded_from
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

DUMMY = """layer { name: "data" type: "DummyData" top: "data"
  dummy_data_param { shape { dim: 2 dim: 3 } data_filler { type: "gaussian" } } }"""
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }'
IP = """layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "ip" top: "loss" }"""


def net_of(text, backend=None, phase=Phase.TRAIN):
    return build_net(parse_net(text, "net.prototxt"), phase, backend=backend or TapeBackend(), rng=Random(1))


@pytest.fixture(autouse=True)
def compiler():
    needs_compiler()


def test_data_layers_run_before_the_recording():
    assert recorded_from(net_of(DUMMY + IP)) == (1, "")
    assert recorded_from(net_of(INPUT + IP)) == (0, "")


def test_net_of_host_layers_alone_is_not_recorded():
    assert recorded_from(net_of(DUMMY)) == (1, "all layers work on the host")


def test_host_layer_behind_one_that_learns_is_the_reason():
    late = DUMMY.replace('"data"', '"late"')
    first, why = recorded_from(net_of(INPUT + IP + late))
    assert (first, why) == (0, "layer 'late' (DummyData) draws its numbers on the host")


def test_forward_is_recorded_on_its_own_and_gives_the_same_loss():
    nets = [net_of(DUMMY + IP, TapeBackend(records)) for records in (True, False)]
    passes = [Passes(net) for net in nets]
    for _ in range(5):
        assert passes[0].forward() == passes[1].forward()
    assert [p.launches for p in passes] == [3, 0]


def test_full_device_is_said_with_the_batch_that_fits(monkeypatch):
    net = net_of(DUMMY + IP)
    passes = Passes(net)

    def full(count, dtype):
        raise OutOfMemory("GPU 0 has no memory for 1.0 MiB more", 400, hint="use a smaller batch_size")

    monkeypatch.setattr(net.backend.representation, "zeros", full)
    with pytest.raises(OutOfMemory, match="GPU 0 has no memory for 1.0 MiB more. With 2 samples a batch") as caught:
        passes.forward_backward()
    assert "batch_size: 1 would fit" in caught.value.hint


def test_numpy_backend_says_that_it_records_nothing():
    passes = Passes(net_of(DUMMY + IP, get_backend()))
    passes.forward_backward()
    assert passes.launches == 0
    assert passes.reasons == ["the backend numpy records nothing"]
