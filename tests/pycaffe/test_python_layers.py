"""Python layers in nets: Caffe's tutorial loss, parameters, phases, chains in place, tops that change in forward."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import layerforge as caffe
from layerforge.core.errors import LayerError
from layerforge.core.storage import Traffic

from .conftest import ApartBackend

pytestmark = pytest.mark.usefixtures("anywhere")

LAYERS = """
import numpy as np
import layerforge as caffe

class Distance(caffe.Layer):
    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise Exception("a distance has two ends")

    def reshape(self, bottom, top):
        if bottom[0].count != bottom[1].count:
            raise Exception("both must be of one size")
        self.diff = np.zeros_like(bottom[0].data, dtype=np.float32)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.diff[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.diff**2) / bottom[0].num / 2.

    def backward(self, top, propagate_down, bottom):
        for i in range(2):
            if not propagate_down[i]:
                continue
            bottom[i].diff[...] = (1 if i == 0 else -1) * self.diff / bottom[i].num

class Shift(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(bottom[0].channels)
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = 1
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top): top[0].data[...] = bottom[0].data + self.blobs[0].data + self.blobs[1].data
    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] += top[0].diff.sum(0)
        self.blobs[1].diff[...] += top[0].diff.sum()
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff

class Phase(caffe.Layer):
    def reshape(self, bottom, top): top[0].reshape(1)
    def forward(self, bottom, top): top[0].data[...] = 10 + self.phase

class Tenfold(caffe.Layer):
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top): top[0].data[...] = 10 * bottom[0].data
    def backward(self, top, propagate_down, bottom): bottom[0].diff[...] = 10 * top[0].diff

class Positive(caffe.Layer):
    "The rows whose first number is above 0: how many is known in forward alone."
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top):
        rows = bottom[0].data[bottom[0].data[:, 0] > 0]
        top[0].reshape(*rows.shape)
        top[0].data[...] = rows

class OnDevice(caffe.Layer):
    arrays, kinds = "device", []
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top): top[0].data[...] = 2 * bottom[0].data
    def backward(self, top, propagate_down, bottom): bottom[0].diff[...] = 2 * top[0].diff

class Free(caffe.Layer):
    differentiate = True
    def setup(self, bottom, top):
        self.blobs.add_blob(bottom[0].channels)
        self.blobs[0].data[...] = 2
    def forward(self, bottom, top):
        assert bottom[0].num * bottom[0].channels == bottom[0].count
        top[0].data[...] = np.sum(bottom[0].data ** 2 * self.blobs[0].data, axis=1)

class Freer:
    differentiate = True
    def forward(self, bottom, top):
        top[0].data[...] = self.xp.exp(bottom[0].data)

class Raises(caffe.Layer):
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top): raise LookupError("as raised")

class Nowhere(caffe.Layer):
    arrays = "somewhere"
"""


def python(name, layer, bottoms, top, more=""):
    bottoms = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    return (f'layer {{ name: "{name}" type: "Python" {bottoms} top: "{top}" {more}\n'
            f'  python_param {{ module: "own_layers" layer: "{layer}" }} }}\n')


def data(name="x", *dims):
    dims = " ".join(f"dim: {n}" for n in dims or (2, 3))
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'


def inner(name, bottom, top, outputs=3):
    return (f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" inner_product_param {{ '
            f'num_output: {outputs} weight_filler {{ type: "xavier" }} }} }}\n')


@pytest.fixture
def make(make_net, write):
    """Makes a net that may use the layers above."""

    def made(text, phase=caffe.TRAIN, force=True):
        write("own_layers.py", LAYERS)
        net = make_net(("force_backward: true\n" if force else "") + text, phase)
        sys.modules.pop("own_layers", None)
        return net

    return made


def test_the_tutorials_loss_gives_the_numbers_of_euclidean_loss(make):
    shared = data("x") + data("t") + inner("ipx", "x", "ipx", 4) + inner("ipt", "t", "ipt", 4)
    net = make(shared + python("loss", "Distance", "ipx ipt", "loss", "loss_weight: 1"), force=False)
    loss = 'layer { name: "loss" type: "EuclideanLoss" bottom: "ipx" bottom: "ipt" top: "loss" }'
    ours = make(shared + loss, force=False)
    ours.share_with(net)
    rng = np.random.default_rng(0)
    for batch in (2, 5):
        x, t = rng.standard_normal((2, batch, 3))
        for each in (net, ours):
            each.blobs["x"].reshape(batch, 3)
            each.blobs["t"].reshape(batch, 3)
            each.clear_param_diffs()
        np.testing.assert_allclose(net.forward(x=x, t=t)["loss"][0], ours.forward(x=x, t=t)["loss"], rtol=1e-5)
        net.backward()
        ours.backward()
        for name in ("ipx", "ipt"):
            for mine, theirs in zip(net.params[name], ours.params[name]):
                assert theirs.diff.any()
                np.testing.assert_allclose(mine.diff, theirs.diff, rtol=1e-4, atol=1e-6)


def test_the_tutorials_loss_refuses_other_sizes_in_its_own_words(make):
    with pytest.raises(Exception, match="both must be of one size"):
        make(data("x") + data("t", 2, 4) + python("loss", "Distance", "x t", "loss"))
    with pytest.raises(Exception, match="a distance has two ends"):
        make(data("x") + python("loss", "Distance", "x", "loss"))


def test_parameters_of_a_python_layer_learn_and_are_saved(make, write):
    text = data() + data("t") + python("shift", "Shift", "x", "y") + (
        'layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }')
    make(text)
    write("own_layers.py", LAYERS)
    solver = caffe.get_solver(write("solver.prototxt", """net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed"
        max_iter: 9 snapshot_prefix: "a" snapshot_after_train: false"""))
    sys.modules.pop("own_layers", None)
    net = solver.net
    assert [tuple(p.shape) for p in net.params["shift"]] == [(3,), (1,)] and (net.params["shift"][0].data == 1).all()
    net.blobs["t"].data[...] = 4
    solver.step(40)
    assert net.blobs["loss"].data < 1e-3
    net.save("w.caffemodel")
    saved = [p.data.copy() for p in net.params["shift"]]
    net.params["shift"][0].data[...] = 0
    net.copy_from("w.caffemodel")
    np.testing.assert_array_equal(net.params["shift"][0].data, saved[0])


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_a_python_layer_knows_its_phase(make, phase):
    assert make(python("p", "Phase", "", "p"), phase).forward()["p"] == 10 + phase


def test_several_at_once_and_in_place_chains(make):
    net = make(data() + inner("a", "x", "a") + python("t1", "Tenfold", "a", "b")
               + 'layer { name: "r" type: "ReLU" bottom: "b" top: "b" }\n' + python("t2", "Tenfold", "b", "b2")
               + python("t3", "Tenfold", "b2", "c") + inner("d", "c", "d"))
    w = net.params["a"][0].data
    w[...] = np.eye(3)
    x = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)
    net.forward(x=x)
    np.testing.assert_allclose(net.blobs["c"].data, 1000 * np.maximum(x, 0), rtol=1e-5)
    net.blobs["d"].diff[...] = 1
    net.backward()
    slope = net.params["d"][0].data.sum(0) * 1000 * (x > 0)
    np.testing.assert_allclose(net.blobs["x"].diff, slope, rtol=1e-4)


def test_a_python_layer_may_work_in_place(make):
    net = make(data() + inner("a", "x", "a") + python("t", "Tenfold", "a", "a") + 'layer { name: "r" type: "ReLU" '
               'bottom: "a" top: "a" }')
    net.params["a"][0].data[...] = np.eye(3)
    x = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)
    np.testing.assert_allclose(net.forward(x=x)["a"], 10 * np.maximum(x, 0), rtol=1e-5)


def test_tops_may_change_their_shape_in_forward(make):
    text = data("x", 4, 3) + python("pick", "Positive", "x", "y") + inner("ip", "y", "z", 2)
    net = make(text, caffe.TEST, force=False)
    w = net.params["ip"][0].data
    for first in ([1, -1, 1, 1], [-1, -1, 1, -1], [1, 1, 1, 1]):
        x = np.arange(12, dtype=np.float32).reshape(4, 3)
        x[:, 0] = first
        got = net.forward(x=x)["z"]
        assert net.blobs["y"].data.shape == (sum(n > 0 for n in first), 3)
        np.testing.assert_allclose(got, x[x[:, 0] > 0] @ w.T, rtol=1e-4, atol=1e-5)


def test_backward_for_free(make):
    net = make(data() + python("f", "Freer", "x", "e") + python("g", "Free", "e", "y"))
    x = np.array([[0, 1, 2], [1, 1, 0]], np.float32)
    np.testing.assert_allclose(net.forward(x=x)["y"], 2 * np.exp(2 * x).sum(1), rtol=1e-5)
    net.blobs["y"].diff[...] = [1, 3]
    net.backward()
    dy = np.array([[1], [3]])
    np.testing.assert_allclose(net.blobs["x"].diff, dy * 4 * np.exp(2 * x), rtol=1e-5)
    np.testing.assert_allclose(net.params["g"][0].diff, (dy * np.exp(2 * x)).sum(0), rtol=1e-5)
    net.blobs["x"].reshape(5, 3)
    assert net.forward(x=np.zeros((5, 3)))["y"].tolist() == [6] * 5


def test_exceptions_of_a_python_layer_come_out_as_raised(make):
    net = make(data() + python("r", "Raises", "x", "y"), force=False)
    with pytest.raises(LookupError, match="as raised"):
        net.forward()


def test_a_layer_may_ask_for_the_devices_own_arrays(make, anywhere):
    before = Traffic.copies
    net = make(data() + inner("a", "x", "a") + python("d", "OnDevice", "a", "b") + inner("c", "b", "c"))
    net.params["a"][0].data[...] = np.eye(3)
    np.testing.assert_allclose(net.forward(x=np.ones((2, 3)), blobs=["b"])["b"], 2)
    net.blobs["c"].diff[...] = 1
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, 2 * net.params["c"][0].data.sum(0)[None].repeat(2, 0), rtol=1e-5)
    layer = net._net.layers[2]
    assert layer.seen is layer.backend.representation
    if anywhere == "apart":
        core = net._net
        core.forward()
        copies = Traffic.copies
        core.forward()
        assert Traffic.copies == copies > before  # nothing goes through the host


def test_arrays_are_of_the_host_or_the_device(make):
    with pytest.raises(LayerError, match="Nowhere has arrays = 'somewhere'\n  hint: arrays is"):
        make(data() + python("n", "Nowhere", "x", "y"))


def test_copies_to_the_host_are_counted(make, monkeypatch):
    monkeypatch.setattr("layerforge.pycaffe.modes.backend", ApartBackend)
    net = make(data() + inner("a", "x", "a") + python("t", "Tenfold", "a", "b") + inner("c", "b", "c"))
    core = net._net
    core.forward()
    copies, nbytes = Traffic.copies, Traffic.nbytes
    core.forward()
    assert (Traffic.copies - copies, Traffic.nbytes - nbytes) == (2, 2 * 2 * 3 * 4)  # a to the host, b back
