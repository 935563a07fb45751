"""DetectionOutput: decoding, thinning out, and the rows that come out."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.detection_output import DetectionOutput, decode, overlaps, suppress
from layerforge.testing.harness import Rig

PRIORS = np.array([[0.1, 0.1, 0.3, 0.5], [0.5, 0.5, 0.9, 0.7]])
VARIANCES = np.array([[0.1, 0.1, 0.2, 0.2]] * 2)


def test_corners_move_by_the_variance():
    np.testing.assert_allclose(decode(PRIORS, VARIANCES, np.ones((2, 4)), "CORNER"), PRIORS + VARIANCES)


def test_corners_may_move_by_shares_of_the_prior():
    made = decode(PRIORS, VARIANCES, np.ones((2, 4)), "CORNER_SIZE")
    np.testing.assert_allclose(made[0], [0.1 + 0.02, 0.1 + 0.04, 0.3 + 0.04, 0.5 + 0.08])


def test_centres_move_and_sizes_grow_exponentially():
    made = decode(PRIORS, VARIANCES, np.array([[1.0, -1, 0, 1]] * 2), "CENTER_SIZE")
    centre, size = (0.2 + 0.1 * 0.2, 0.3 - 0.1 * 0.4), (0.2, 0.4 * np.exp(0.2))
    want = [centre[0] - size[0] / 2, centre[1] - size[1] / 2, centre[0] + size[0] / 2, centre[1] + size[1] / 2]
    np.testing.assert_allclose(made[0], want)


def test_overlap_is_intersection_over_union():
    others = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [2, 0, 4, 2], [5, 5, 4, 4]], float)
    np.testing.assert_allclose(overlaps(others[0], others), [1, 1 / 7, 0, 0])


def thin(**more):
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 6], [20, 20, 30, 30], [20, 20, 30, 30]], float)
    scores = np.array([0.9, 0.8, 0.7, 0.5, 0.5])
    return suppress(boxes, scores, **dict(dict(score=0.1, threshold=0.65, top_k=-1, eta=1.0), **more))


def test_a_box_goes_if_a_better_one_covers_it():
    assert thin() == [0, 2, 3]


def test_an_overlap_equal_to_the_threshold_stays():
    assert thin(threshold=0.8) == [0, 1, 2, 3]


def test_a_score_equal_to_the_threshold_goes():
    assert thin(score=0.5) == [0, 2]


def test_top_k_cuts_before_boxes_are_thinned_out():
    assert thin(top_k=2) == [0]


def test_eta_shrinks_the_threshold():
    assert thin(threshold=0.8, eta=0.9) == [0, 2, 3]


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
