"""Layers that define forward alone."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from layerforge.backends.numpy import NumpyBackend
from layerforge.core.errors import DeviceError, LayerError
from layerforge.core.storage import HOST, HostRepresentation
from layerforge.layers import registry
from layerforge.layers.user_layer import Layer
from layerforge.netdef.params import Params, field
from layerforge.schema import kinds
from layerforge.testing import LayerTest, Rig, check_gradient

kept, declared = dict(registry._plugins), dict(kinds._declared)


class GateParams(Params, message="gate_of_test_param"):
    beta: float = field(float, 1.0, doc="how steep")


class Gate(Layer):
    """y = x / (1 + exp(-beta x))"""

    type, Params, differentiate = "GateOfTest", GateParams, True

    def forward(self, bottom, top):
        x = bottom[0].data
        top[0].data[...] = x / (1 + self.xp.exp(-self.params.beta * x))


class Affine(Layer):
    """y₀ = x W + b,  y₁ = Σ x z"""

    type, differentiate, bottoms, tops = "AffineOfTest", True, 2, 2

    def setup(self, bottom, top):
        self.W = self.add_blob((bottom[0].shape[1], 4))
        self.b = self.add_blob((4,))

    def forward(self, bottom, top):
        x, z = bottom[0].data, bottom[1].data
        top[0].data[...] = self.xp.matmul(x, self.W.data) + self.b.data
        top[1].data[...] = self.xp.sum(x * z, axis=(0, 1)) if x.ndim == 2 else None


registry._plugins.clear()  # the classes above are for this file, not for the lists of layers
registry._plugins.update(kept)
kinds._declared.clear()
kinds._declared.update(declared)


class TestGate(LayerTest):
    layer, cases = Gate, [dict(beta=1.0), dict(beta=0.5)]

    def inputs(self, rng):
        return [rng.normal(size=(2, 3, 4))]

    def expected(self, x, beta):
        return x / (1 + np.exp(-beta * x))


class TestAffine(LayerTest):
    layer = Affine

    def inputs(self, rng):
        return [rng.normal(size=(2, 3)), rng.normal(size=(2, 3))]

    def expected(self, x, z):
        return x @ self.blobs[0] + self.blobs[1], np.float64((x * z).sum())


def make(forward, **more):
    kind = type("Made", (Layer,), {"differentiate": True, "forward": forward, **more})
    return Rig(kind, {}, [np.ones((2, 3))], tops=1)


def test_the_tops_take_the_shape_that_forward_gives():
    rig = make(lambda self, bottom, top: top[0].data.__setitem__(..., self.xp.sum(bottom[0].data, axis=1)))
    assert rig.tops[0].shape == (2,) and rig.forward([np.ones((5, 3))])[0].shape == (5,)


def test_gradients_of_parameters_add_up():
    rig = Rig(Affine, {}, [np.ones((2, 3)), np.ones((2, 3))], tops=2)
    rig.forward()
    rig.backward([np.ones((2, 4)), np.zeros(())])
    once = rig.gradients()[0]
    rig.step.backward()
    np.testing.assert_allclose(rig.gradients()[0], 2 * once)


def test_plain_numpy_will_do():
    rig = make(lambda self, bottom, top: top[0].data.__setitem__(..., np.exp(bottom[0].data)))
    y = rig.forward()[0]
    np.testing.assert_allclose(rig.backward([np.ones((2, 3))])[0], y, rtol=1e-6)


def test_what_cannot_be_recorded_is_explained():
    rig = make(lambda self, bottom, top: top[0].data.__setitem__(..., float(bottom[0].data[0, 0])))
    rig.forward()
    with pytest.raises(LayerError, match="cannot be differentiated.*\n  hint: compute with functions of self.xp"):
        rig.backward([np.ones(())])


def test_writing_parts_of_a_top_is_refused():
    with pytest.raises(LayerError, match="must write each top whole"):
        make(lambda self, bottom, top: top[0].data.__setitem__(0, bottom[0].data))


def test_a_top_that_is_not_written_is_named():
    with pytest.raises(LayerError, match=r"forward assigns nothing to top\[0\]"):
        make(lambda self, bottom, top: None)


def test_working_in_place_is_refused():
    with pytest.raises(LayerError, match="cannot work in place"):
        Rig(Gate, {}, [np.ones((2, 3))], in_place=True)


def test_a_missing_library_is_named_with_the_extra(monkeypatch):
    real = importlib.import_module

    def without(name, *more):
        if name.startswith("autograd"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *more)

    monkeypatch.setattr(importlib, "import_module", without)
    rig = Rig(Gate, {}, [np.ones((2, 3))])
    rig.forward()  # needs no library
    with pytest.raises(DeviceError, match=r"needs the package autograd.*\n.*pip install 'layerforge\[autodiff\]'"):
        rig.backward([np.ones((2, 3))])


class Elsewhere(NumpyBackend):
    """A device, as far as a layer can tell."""

    representation, xp = HostRepresentation(), None


def test_a_users_layer_works_on_the_host_of_a_device():
    rig = Rig(Affine, {}, [np.ones((2, 3)), np.ones((2, 3))], tops=2, backend=Elsewhere())
    layer = rig.layer
    assert layer.xp is np and layer.workspace.representation is HOST and layer.W.representation is HOST
    assert rig.forward()[0].shape == (2, 4) and rig.backward([np.ones((2, 4)), np.ones(())])[0].shape == (2, 3)


def test_a_layer_without_backward_and_without_differentiate_has_no_gradient():
    verbs = {"forward": lambda *_: None, "reshape": lambda self, bottom, top: top[0].reshape(bottom[0].shape)}
    kind = type("Plain", (Layer,), verbs)
    rig = Rig(kind, {}, [np.ones((2, 3))])
    with pytest.raises(LayerError, match="has no gradient"):
        rig.backward([np.ones((2, 3))])


def test_the_gradient_checker_finds_a_wrong_backward():
    def wrong(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 2 * top[0].diff

    kind = type("Wrong", (Gate,), {"backward": wrong, "type": ""})
    with pytest.raises(AssertionError, match="backward gives"):
        check_gradient(kind, {}, [np.ones((2, 3))])
