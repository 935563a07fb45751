"""Every check finds the mistake it is there for."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from layerforge.layers import registry
from layerforge.layers.user_layer import Layer
from layerforge.netdef.params import Params, field
from layerforge.schema import kinds
from layerforge.solver.plugins import load_plugins
from layerforge.testing.examine import CHECKS, examine, layers_of


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """Registries forget what the test registers, and the modules it loads are let go."""
    monkeypatch.setattr(registry, "_plugins", dict(registry._plugins))
    monkeypatch.setattr(kinds, "_declared", dict(kinds._declared))
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        if not name.startswith(("layerforge", "autograd", "numpy")):
            del sys.modules[name]


class Double(Layer):
    """y = 2 x + w"""

    def setup(self, bottom, top):
        self.w = self.add_blob((1,))

    def reshape(self, bottom, top):
        top[0].reshape(bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = 2 * bottom[0].data + self.w.data

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = 2 * top[0].diff
        self.w.diff[...] += top[0].diff.sum()


def found(shapes=(), **changes):
    """The problems of Double with other verbs."""
    return examine("it", type("Changed", (Double,), changes), {}, shapes).problems


def test_a_right_layer_passes_every_check():
    verdict = examine("it", Double, {})
    assert str(verdict) == f"it: ok ({len(CHECKS)} checks, bottoms (2, 3, 4, 5))"


def test_a_wrong_gradient_is_found():
    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = 3 * top[0].diff
        self.w.diff[...] += top[0].diff.sum()

    (problem,) = found(backward=backward)
    assert problem.startswith("Backward agrees with differences of forward: ") and "bottom[0]" in problem


def test_a_gradient_written_where_none_is_asked_for_is_found():
    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 2 * top[0].diff
        self.w.diff[...] += top[0].diff.sum()

    assert found(backward=backward) == [
        "Backward leaves a bottom's gradient alone where propagate_down is false: the gradient of bottom[0] is written"]


def test_a_parameter_gradient_that_is_overwritten_is_found():
    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = 2 * top[0].diff
        self.w.diff[...] = top[0].diff.sum()

    (problem,) = found(backward=backward)
    assert problem.startswith("Backward adds to the gradients of parameters: ") and "blobs[0]" in problem


def test_a_changed_bottom_is_found():
    def forward(self, bottom, top):
        bottom[0].data[...] *= 2
        top[0].data[...] = bottom[0].data + self.w.data

    assert any("forward changes bottom[0]" in problem for problem in found(forward=forward))


def test_values_that_are_not_finite_are_found():
    def forward(self, bottom, top):
        top[0].data[...] = np.nan

    assert "Forward gives finite numbers and leaves its bottoms alone: top[0] has values that are not finite" in found(
        forward=forward)


def test_a_shape_that_stays_behind_is_found():
    def setup(self, bottom, top):
        self.w, self.shape = self.add_blob((1,)), bottom[0].shape

    def reshape(self, bottom, top):
        top[0].reshape(self.shape)

    assert [problem.split(":")[0] for problem in found(setup=setup, reshape=reshape)] == [
        "Forward follows another batch size and comes back"]


def test_numbers_that_single_precision_loses_are_found():
    def forward(self, bottom, top):
        top[0].data[...] = (bottom[0].data + 1e8) - 1e8

    assert any(problem.startswith("Forward in float32 agrees with float64") for problem in found(forward=forward))


def test_state_that_a_reshape_changes_is_found():
    def reshape(self, bottom, top):
        top[0].reshape(bottom[0].shape)
        self.calls = getattr(self, "calls", 0) + 1

    def forward(self, bottom, top):
        top[0].data[...] = self.calls * bottom[0].data

    assert any(problem.startswith("Forward gives the same numbers after another") for problem in found(
        reshape=reshape, forward=forward))


def test_a_layer_without_backward_is_told_so():
    verdict = examine("it", type("Forward", (Layer,), {"reshape": Double.reshape, "forward": lambda self, b, t:
                                                       np.copyto(t[0].data, b[0].data)}), {})
    assert not verdict.problems and verdict.notes == ["it has no backward: no gradient goes through it"]


def test_shapes_are_tried_until_the_layer_takes_them():
    def setup(self, bottom, top):
        self.require(len(bottom[0].shape) == 3, "bottom[0] must have 3 axes")
        self.w = self.add_blob((1,))

    assert examine("it", type("Three", (Double,), {"setup": setup}), {}).shapes == [(2, 3, 4)]
    (problem,) = found(setup=setup, shapes=[(2, 2)])
    assert "it cannot be set up: layer 'layer' (): bottom[0] must have 3 axes" == problem


def test_parameters_are_passed_on():
    class ScaledParams(Params, message="scaled_of_test_param"):
        by: float = field(float, required=True, doc="the factor")

    def forward(self, bottom, top):
        top[0].data[...] = self.params.by * bottom[0].data + self.w.data

    kind = type("Scaled", (Double,), {"Params": ScaledParams, "forward": forward})
    assert "by is missing" in examine("it", kind, {}).problems[0]
    assert examine("it", kind, {"by": 2}).problems == []


PYTHON = """
import layerforge as caffe
import numpy as np

class Loss(caffe.Layer):
    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise Exception("Need two inputs to compute distance.")
    def reshape(self, bottom, top):
        if bottom[0].count != bottom[1].count:
            raise Exception("Inputs must have the same dimension.")
        self.diff = np.zeros_like(bottom[0].data, dtype=bottom[0].data.dtype)
        top[0].reshape(1)
    def forward(self, bottom, top):
        self.diff[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.diff**2) / bottom[0].num / 2.
    def backward(self, top, propagate_down, bottom):
        for i in range(2):
            if propagate_down[i]:
                bottom[i].diff[...] = (1 - 2 * i) * self.diff / bottom[i].num WEIGHT

class Helper:
    pass
"""


@pytest.mark.parametrize("weight, wrong", [("* top[0].diff[0]", 0), ("", 1)])
def test_classes_with_caffes_verbs_are_examined_too(tmp_path, weight, wrong):
    (tmp_path / "losses.py").write_text(PYTHON.replace("WEIGHT", weight))
    (module,) = load_plugins([str(tmp_path / "losses.py")])
    ((name, layer, case),) = layers_of(module)
    verdict = examine(name, layer, case)
    assert verdict.name == "Loss" and verdict.shapes == [(2, 3, 4, 5)] * 2 and len(verdict.problems) == wrong
