"""DetectionOutput: the rows that come out."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.detection_output import DetectionOutput
from layerforge.testing.harness import Rig

PRIORS = np.array([[0.1, 0.1, 0.3, 0.5], [0.5, 0.5, 0.9, 0.7]])
VARIANCES = np.array([[0.1, 0.1, 0.2, 0.2]] * 2)


def rig(scores, n=1, **case):
    priors = np.stack([PRIORS.reshape(-1), VARIANCES.reshape(-1)])[None]
    return Rig(DetectionOutput, dict(num_classes=3, **case), [np.zeros((n, 8)), np.reshape(scores, (n, 6)), priors])


def test_rows_stand_by_class_and_leave_the_background_out():
    y = rig([0.9, 0.1, 0.3, 0.8, 0.2, 0.6], confidence_threshold=0.15).forward()[0]
    np.testing.assert_allclose(y[0, 0, :, :3], [[0, 1, 0.2], [0, 2, 0.6], [0, 2, 0.3]], rtol=1e-6)
    np.testing.assert_allclose(y[0, 0, 1, 3:], PRIORS[1], rtol=1e-6)


def test_keep_top_k_picks_over_classes_and_keeps_their_order():
    y = rig([0, 0.5, 0.9, 0, 0.4, 0.1], keep_top_k=2).forward()[0]
    np.testing.assert_allclose(y[0, 0, :, 1:3], [[1, 0.5], [2, 0.9]], rtol=1e-6)


def test_without_boxes_there_is_a_row_for_each_picture():
    y = rig(np.zeros((2, 6)), 2, confidence_threshold=0.5).forward()[0]
    np.testing.assert_array_equal(y[0, 0], [[0, *[-1] * 6], [1, *[-1] * 6]])


def test_wrong_bottoms_are_refused():
    with pytest.raises(LayerForgeError, match="bottom.1. has 5 numbers"):
        Rig(DetectionOutput, dict(num_classes=3), [np.zeros((1, 8)), np.zeros((1, 5)), np.zeros((1, 2, 8))])
    with pytest.raises(LayerForgeError, match="needs share_location: false"):
        rig(np.zeros(6), background_label_id=-1)
