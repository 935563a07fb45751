"""A full device is said with the net's plan and the batch that fits: that one runs, a much larger one does not."""

import re

import numpy as np
import pytest
from cpu_kernels import needs_compiler
from tape import TapeBackend

from layerforge.core.errors import OutOfMemory
from layerforge.core.random import Random
from layerforge.net.build import build_net
from layerforge.net.fitting import fitting_batch, planned, samples_of
from layerforge.net.footprint import Footprint
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net, parse_solver
from layerforge.solver.params import SolverParams
from layerforge.solver.updater import Updater

DATA = """layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: BATCH dim: 3 dim: 12 dim: 12 } shape { dim: BATCH }
                     data_filler { type: "gaussian" } data_filler { value: 1 } } }"""
CONVOLUTIONS = DATA + """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "norm" }
layer { name: "relu" type: "ReLU" bottom: "norm" top: "norm" }
layer { name: "lrn" type: "LRN" bottom: "norm" top: "lrn" }
layer { name: "pool" type: "Pooling" bottom: "lrn" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "drop" type: "Dropout" bottom: "pool" top: "drop" }
layer { name: "ip" type: "InnerProduct" bottom: "drop" top: "ip"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }"""
WEIGHTS = DATA + """
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  inner_product_param { num_output: 200 weight_filler { type: "xavier" } } }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }"""


class SmallDevice(TapeBackend):
    """A device with so many bytes. What was taken stays taken."""

    def __init__(self, total):
        super().__init__(records=False)
        self.taken, zeros = 0, self.representation.zeros

        def limited(count, dtype):
            self.taken += count * np.dtype(dtype).itemsize
            if self.taken > total:
                raise OutOfMemory("GPU 0 has no memory for 1.0 MiB more", total, hint="use a smaller batch_size")
            return zeros(count, dtype)

        self.representation.zeros = limited


def net_of(text, batch, device, phase=Phase.TRAIN):
    return build_net(parse_net(text.replace("BATCH", str(batch))), phase, backend=device, rng=Random(1), engines=())


def iteration(net):
    """A first iteration: after it nothing more is taken."""
    updater = Updater(net, SolverParams.from_definition(parse_solver('base_lr: 0.1 lr_policy: "fixed" momentum: 0.9')))
    net.clear_gradients()
    net.forward()
    net.backward()
    updater.apply(0, 0.0, lambda *_: None)


@pytest.fixture(autouse=True)
def compiler():
    needs_compiler()


@pytest.mark.parametrize("text", [CONVOLUTIONS, WEIGHTS], ids=["convolutions", "weights"])
@pytest.mark.parametrize("share", [0.8, 0.5])
def test_batch_that_is_said_to_fit_fits_and_hardly_a_larger_one(text, share):
    batch, huge = 40, SmallDevice(1 << 40)
    iteration(net_of(text, batch, huge))
    total = int(huge.taken * share)
    with pytest.raises(OutOfMemory, match="With 40 samples a batch the net needs") as caught:
        iteration(net_of(text, batch, SmallDevice(total)))
    if "not even one sample" in caught.value.hint:
        fits = 0
    else:
        fits = int(caught.value.hint.split()[1])
        iteration(net_of(text, fits, SmallDevice(total)))
    with pytest.raises(OutOfMemory):
        iteration(net_of(text, int(fits * 1.3) + 2, SmallDevice(total)))


def test_plan_counts_what_is_taken():
    device = SmallDevice(1 << 40)
    net = net_of(CONVOLUTIONS, 32, device)
    iteration(net)
    assert planned(net).peak == pytest.approx(device.taken, rel=0.1)


def test_message_has_the_parts_of_the_plan():
    with pytest.raises(OutOfMemory) as caught:
        iteration(net_of(CONVOLUTIONS, 4000, SmallDevice(1 << 20)))
    assert re.search(r"needs [\d,]+ MiB \(activations [\d,]+, gradients [\d,]+.*\)$", caught.value.message)


def test_net_that_would_fit_alone_blames_other_programs():
    device = SmallDevice(1 << 30)
    device.taken = 1 << 30
    with pytest.raises(OutOfMemory) as caught:
        net_of(CONVOLUTIONS, 2, device).forward()
    assert "if nothing else used the GPU" in caught.value.hint


def test_no_sample_fits_where_parameters_fill_the_device():
    with pytest.raises(OutOfMemory) as caught:
        net_of(WEIGHTS, 4, SmallDevice(1 << 18)).forward()
    assert caught.value.hint.startswith("not even one sample would fit")


def test_memory_that_arrays_take_themselves_is_explained_too(monkeypatch):
    device = SmallDevice(1 << 40)
    net = net_of(WEIGHTS, 4, device)
    device.representation.full = lambda: OutOfMemory("GPU 0 has no memory for what an operation needs", 1 << 30)

    def full(*arguments):
        raise MemoryError

    monkeypatch.setattr(net.layers[1], "forward", full)
    with pytest.raises(OutOfMemory, match="what an operation needs. With 4 samples"):
        net.forward()


def test_batch_that_fits_leaves_room():
    def plan(blobs):
        return Footprint(blobs, 0, 100, 0, 0, 0, 0)

    assert fitting_batch(plan(1000), 100, total=1000) == 80
    assert fitting_batch(plan(1000), 1, total=1000) == 0


def test_samples_are_those_of_the_first_blob_from_outside():
    assert samples_of(net_of(CONVOLUTIONS, 7, SmallDevice(1 << 40))) == 7
