"""DetectionEvaluate: right and wrong boxes."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.detection_evaluate import DetectionEvaluate
from layerforge.testing.harness import Rig

FOUND = np.array([
    [0, 1, 0.7, 0.1, 0.1, 0.5, 0.5],
    [0, 1, 0.9, 0.1, 0.1, 0.5, 0.45],
    [0, 1, 0.8, 0.6, 0.6, 0.9, 0.9],
    [1, 2, 0.6, 0.1, 0.1, 0.5, 0.5],
    [1, -1, 0, 0, 0, 0, 0],
])[None, None]
TRUTH = np.array([[0, 1, 0, 0.1, 0.1, 0.5, 0.5, 0], [0, 2, 0, 0, 0, 1, 1, 0], [1, 2, 0, 0.1, 0.1, 0.5, 0.55, 1],
                  [-1, 0, 0, 0, 0, 0, 0, 0]])[None, None]


def rows(found=FOUND, truth=TRUTH, **case):
    made = Rig(DetectionEvaluate, dict(num_classes=3, **case), [found, truth], dtype=np.float64)
    return made.forward()[0][0, 0].tolist()


def test_true_boxes_are_counted_by_class():
    assert rows()[:2] == [[-1, 1, 1, -1, -1], [-1, 2, 2, -1, -1]]
    assert rows(evaluate_difficult_gt=False)[1] == [-1, 2, 1, -1, -1]


def test_the_best_box_is_right_and_the_next_on_the_same_true_box_wrong():
    assert rows()[2:5] == [[0, 1, 0.9, 1, 0], [0, 1, 0.8, 0, 1], [0, 1, 0.7, 0, 1]]


def test_a_difficult_box_that_does_not_count_is_neither():
    assert rows()[5] == [1, 2, 0.6, 1, 0]
    assert rows(evaluate_difficult_gt=False)[5] == [1, 2, 0.6, 0, 0]


def test_without_true_boxes_all_are_wrong():
    assert [row[3:] for row in rows(truth=TRUTH[:, :, 3:])[2:]] == [[0, 1]] * 4


def test_other_shapes_are_refused():
    with pytest.raises(LayerForgeError, match="bottom.1. has the shape"):
        rows(truth=TRUTH[..., :7])
