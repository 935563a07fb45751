"""Layers that a user writes in Python."""

import sys

import numpy as np
import pytest

from layerforge.core.errors import LayerError
from layerforge.layers.python_layer import Python
from layerforge.testing.harness import Rig

SOURCE = '''
import numpy as np

class Gain:
    """y = a x + w"""

    def setup(self, bottom, top):
        self.a, self.calls = float(self.param_str), 0
        self.blobs.add_blob(bottom[0].channels)
        self.blobs[0].data[...] = 2

    def reshape(self, bottom, top):
        self.calls += 1
        self.zeros = np.zeros_like(bottom[0].data)
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.a * bottom[0].data + self.blobs[0].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] += top[0].diff.sum(0)
        if propagate_down[0]:
            bottom[0].diff[...] = self.a * top[0].diff

    def state(self):
        return {"calls": self.calls}

    def load_state(self, state):
        self.calls = state["calls"]

class Half:
    def setup(self, bottom, top): raise KeyError("as raised")
    def reshape(self, bottom, top): pass
    def forward(self, bottom, top): pass
'''


@pytest.fixture
def module(tmp_path, request):
    """A module beside a prototxt, named after the test since Python keeps modules."""
    name = "m" + str(abs(hash(request.node.name)))
    (tmp_path / f"{name}.py").write_text(SOURCE)
    return name


def rig(module, folder, layer="Gain", param_str="3", x=((1.0, 2.0), (3.0, 4.0))):
    case = {"module": module, "layer": layer, "param_str": param_str}
    return Rig(Python, case, [np.array(x)], tops=1, folder=str(folder))


def test_a_class_beside_the_prototxt_runs(module, tmp_path):
    made = rig(module, tmp_path)
    assert made.forward()[0].tolist() == [[5, 8], [11, 14]]
    assert made.backward([np.ones((2, 2))])[0].tolist() == [[3, 3], [3, 3]]
    assert made.gradients()[0].tolist() == [2, 2]


def test_param_str_has_its_old_name_too(module, tmp_path):
    user = rig(module, tmp_path).layer.user
    assert user.param_str == user.param_str_ == "3"


def test_a_file_name_is_a_module_too(module, tmp_path):
    assert rig(str(tmp_path / f"{module}.py"), "").forward()[0].tolist() == [[5, 8], [11, 14]]


def test_reshape_runs_before_every_forward(module, tmp_path):
    made = rig(module, tmp_path)
    calls = made.layer.user.calls
    made.forward()
    made.forward()
    assert made.layer.user.calls == calls + 2


def test_tops_follow_another_input_shape(module, tmp_path):
    made = rig(module, tmp_path)
    assert made.forward([np.ones((5, 2))])[0].shape == (5, 2)


def test_state_is_passed_through(module, tmp_path):
    made = rig(module, tmp_path)
    made.layer.load_state({"user": {"calls": 40}})
    assert made.layer.state() == {"user": {"calls": 40}}


def test_the_users_exceptions_come_out_as_raised(module, tmp_path):
    (tmp_path / f"{module}.py").write_text(SOURCE + "    def backward(self, top, propagate_down, bottom): pass\n")
    with pytest.raises(KeyError, match="as raised"):
        rig(module, tmp_path, "Half")


def test_a_missing_module_is_named_with_every_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LayerError, match=r"there is no module 'nowhere' on sys\.path, in '.*' or in '.*nets'"):
        rig("nowhere", tmp_path / "nets")


def test_a_missing_class_suggests_the_nearest(module, tmp_path):
    with pytest.raises(LayerError, match="did you mean 'Gain'"):
        rig(module, tmp_path, "Gains")


def test_a_class_without_backward_is_refused(module, tmp_path):
    with pytest.raises(LayerError, match="lacks backward"):
        rig(module, tmp_path, "Half")


def test_a_module_that_misses_another_says_so_itself(tmp_path):
    (tmp_path / "misses_another.py").write_text("import not_there_at_all")
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        rig("misses_another", tmp_path)


def test_the_path_is_left_as_it_was(module, tmp_path):
    before = list(sys.path)
    rig(module, tmp_path)
    assert sys.path == before
