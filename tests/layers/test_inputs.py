"""Input, DummyData and Parameter."""

import numpy as np
import pytest

from layerforge.core.errors import LayerError, PrototxtError
from layerforge.layers.inputs import DummyData, Input, Parameter
from layerforge.testing.harness import Rig


def test_input_takes_one_shape_for_all_tops():
    rig = Rig(Input, {"shape": [{"dim": [2, 3]}]}, tops=2)
    assert [top.shape for top in rig.tops] == [(2, 3), (2, 3)]


def test_input_keeps_what_was_put_there():
    rig = Rig(Input, {"shape": [{"dim": [2, 3]}]})
    rig.tops[0].data.set(np.arange(6))
    assert rig.forward()[0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_input_keeps_a_shape_set_by_a_script():
    rig = Rig(Input, {"shape": [{"dim": [2, 3]}]})
    rig.tops[0].reshape((5, 3))
    rig.step.reshape()
    assert rig.tops[0].shape == (5, 3)


def test_input_refuses_another_number_of_shapes():
    with pytest.raises(LayerError, match="2 shapes for 3 tops"):
        Rig(Input, {"shape": [{"dim": [2]}, {"dim": [3]}]}, tops=3)


def test_a_negative_axis_is_refused():
    with pytest.raises(PrototxtError, match="dim: -1, must be at least 0"):
        Rig(Input, {"shape": [{"dim": [2, -1]}]})


def test_dummy_data_is_zero_without_a_filler():
    rig = Rig(DummyData, {"shape": [{"dim": [2, 2]}]})
    assert not rig.forward()[0].any()


def test_dummy_data_sets_constants_once():
    rig = Rig(DummyData, {"shape": [{"dim": [2]}], "data_filler": [{"value": 3.0}]})
    assert rig.forward()[0].tolist() == [3, 3]
    rig.tops[0].data.set(np.array([7, 8]))
    assert rig.forward()[0].tolist() == [7, 8]


def test_dummy_data_draws_anew_for_every_forward():
    case = {"shape": [{"dim": [50]}], "data_filler": [{"type": "uniform"}, {"value": 2.0}]}
    rig = Rig(DummyData, case, tops=2)
    first, constant = rig.forward()
    second = rig.forward()[0]
    assert (first != second).all() and (constant == 2).all()
    assert np.array_equal(Rig(DummyData, case, tops=2).forward()[0], first)


def test_dummy_data_takes_the_old_shape_fields():
    rig = Rig(DummyData, {"num": [2, 3], "channels": [4], "height": [1], "width": [5]}, tops=2)
    assert [top.shape for top in rig.tops] == [(2, 4, 1, 5), (3, 4, 1, 5)]


@pytest.mark.parametrize("case, message", [
    ({}, "0 shapes for 2 tops"),
    ({"num": [1], "channels": [1], "height": [1]}, "width is given 0 times for 2 tops"),
    ({"num": [1], "shape": [{"dim": [2]}]}, "are both given"),
    ({"shape": [{"dim": [2]}], "data_filler": [{}, {}, {}]}, "3 data_fillers for 2 tops"),
])
def test_dummy_data_refuses_what_does_not_fit(case, message):
    with pytest.raises(LayerError, match=message):
        Rig(DummyData, case, tops=2)


def test_dummy_data_refuses_an_unknown_filler():
    with pytest.raises(PrototxtError, match="there is no filler 'gausian'"):
        Rig(DummyData, {"shape": [{"dim": [2]}], "data_filler": [{"type": "gausian"}]})


def test_parameter_gives_its_blob_and_adds_its_gradient():
    rig = Rig(Parameter, {"shape": {"dim": [2, 2]}})
    rig.parameters()[0][...] = [[1, 2], [3, 4]]
    assert rig.forward()[0].tolist() == [[1, 2], [3, 4]]
    rig.backward([np.ones((2, 2))])
    rig.step.backward()
    assert rig.gradients()[0].tolist() == [[2, 2], [2, 2]]
