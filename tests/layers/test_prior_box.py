"""PriorBox against boxes placed one by one."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.prior_box import PriorBox
from layerforge.testing.harness import Rig

BOTTOMS = [np.zeros((2, 1, 2, 3)), np.zeros((2, 3, 40, 60))]


def boxes(**case):
    """(coordinates, variances), each (2, 3, boxes, 4): row, column, box."""
    y = Rig(PriorBox, case, BOTTOMS, dtype=np.float64).forward()[0]
    assert y.shape[:2] == (1, 2)
    return y.reshape(2, 2, 3, -1, 4)


def test_a_square_lies_in_the_middle_of_its_cell():
    made, variances = boxes(min_size=[10])
    for row, column in np.ndindex(2, 3):
        x, y = (column + 0.5) * 20, (row + 0.5) * 20
        want = [(x - 5) / 60, (y - 5) / 40, (x + 5) / 60, (y + 5) / 40]
        np.testing.assert_allclose(made[row, column, 0], want)
    assert (variances == 0.1).all()


def test_boxes_come_as_min_then_max_then_ratios():
    made, _ = boxes(min_size=[10.7], max_size=[22], aspect_ratio=[2, 3])
    wide = (made[0, 0, :, 2] - made[0, 0, :, 0]) * 60
    high = (made[0, 0, :, 3] - made[0, 0, :, 1]) * 40
    np.testing.assert_allclose(wide * high, [100, 220, 100, 100, 100, 100])
    np.testing.assert_allclose(wide / high, [1, 1, 2, 1 / 2, 3, 1 / 3])


def test_repeated_ratios_count_once():
    assert boxes(min_size=[9], aspect_ratio=[1, 2, 0.5, 2])[0].shape[2] == 3
    assert boxes(min_size=[9], aspect_ratio=[2, 0.5], flip=False)[0].shape[2] == 3


def test_clip_cuts_coordinates_and_leaves_variances():
    made, variances = boxes(min_size=[50], clip=True, variance=[0.1, 0.1, 2, 2])
    assert made.min() == 0 and made.max() == 1
    assert (variances == [0.1, 0.1, 2, 2]).all()


def test_step_offset_and_picture_may_be_given():
    made, _ = boxes(min_size=[10], step_h=18, step_w=22, offset=0.25, img_h=50, img_w=70)
    np.testing.assert_allclose(made[1, 2, 0, :2], [(2.25 * 22 - 5) / 70, (1.25 * 18 - 5) / 50])


def test_boxes_may_be_given_by_width_and_height():
    made, _ = boxes(box_width=[10, 20], box_height=[12, 8])
    np.testing.assert_allclose(made[0, 0, 1], [0, 6 / 40, 20 / 60, 14 / 40])
    swapped, _ = boxes(box_width=[10, 20], box_height=[12, 8], yx_order=True)
    np.testing.assert_allclose(swapped, made[..., [1, 0, 3, 2]])


def test_bottoms_get_zeros_where_a_gradient_is_asked():
    made = Rig(PriorBox, dict(min_size=[10]), BOTTOMS)
    made.forward()
    assert not any(dx.any() for dx in made.backward([np.ones((1, 2, 24))], [True, True]))


@pytest.mark.parametrize("case, words", [
    (dict(), "min_size is missing"),
    (dict(min_size=[9], max_size=[8]), "max_size must be larger"),
    (dict(min_size=[9], max_size=[18, 20]), "2 max_size for 1 min_size"),
    (dict(min_size=[9], variance=[0.1, 0.2]), "2 variances"),
    (dict(min_size=[9], step=8, step_h=8, step_w=8), "step and step_h and step_w are both given"),
    (dict(min_size=[9], img_h=8), "is given without its partner"),
    (dict(box_width=[9]), "1 box_width, 0 box_height"),
])
def test_wrong_parameters_are_refused(case, words):
    with pytest.raises(LayerForgeError) as caught:
        Rig(PriorBox, case, BOTTOMS)
    assert words in str(caught.value)
