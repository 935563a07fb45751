"""Proposal and NonMaxSuppression: which boxes stay, in which order."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.proposal import NonMaxSuppression, Proposal, anchors, partly_sorted
from layerforge.testing import LayerTest
from layerforge.testing.harness import Rig

ONE = dict(anchor_scale=1, anchor_ratio=1, anchor_base_size=1, feat_stride=16)  # one anchor of 32 x 32 a place


def test_the_anchors_are_those_of_faster_rcnn():
    found = anchors(16, (0.5, 1, 2), (8, 16, 32))
    np.testing.assert_array_equal(found[:4], [[-84, -40, 99, 55], [-176, -88, 191, 103], [-360, -184, 375, 199],
                                              [-56, -56, 71, 71]])
    assert found.shape == (9, 4)


class TestProposal(LayerTest):
    layer, tops, gradient = Proposal, 2, False
    cases = [dict(ONE, rpn_min_size=4.0, max_rois=5), dict(ONE, rpn_min_size=4.0, max_rois=5, rpn_nms_thresh=0.0)]

    def inputs(self, rng):
        scores = np.concatenate([np.zeros((1, 1, 1, 4)), np.array([0.2, 0.9, 0.5, 0.9]).reshape(1, 1, 1, 4)], axis=1)
        return [scores, np.zeros((1, 4, 1, 4)), np.array([[40.0, 60.0, 1.0]])]

    def expected(self, scores, codes, picture, rpn_nms_thresh=0.7, **case):
        at = [3, 1, 2, 0] if rpn_nms_thresh else [3, 0]  # neighbours share a column
        wide = [(16 * j - 16 + 0.5, 16 * j + 16 + 0.5) for j in at]
        rows = [[0, max(a, 0), 0, min(b, 59), 16.5] for a, b in wide]
        return np.array(rows), scores.reshape(-1)[4:][at][:, None]


def proposals(scores, **case):
    count = len(scores)
    both = np.concatenate([np.zeros(count), scores]).reshape(1, 2, 1, count)
    made = Rig(Proposal, {**ONE, **case}, [both, np.zeros((1, 4, 1, count)), np.array([[40, 200, 1]])])
    return made.forward()[0]


def test_small_boxes_go_but_never_the_last_candidate():
    assert len(proposals([0.1, 0.2, 0.3], rpn_min_size=500.0)) == 1


def test_no_more_stay_than_asked_for():
    assert len(proposals([0.1, 0.2, 0.3, 0.4], max_rois=2)) == 2


def test_the_best_come_first_and_the_others_follow_by_exchange():
    scores = np.array([0.5, 0.1, 0.3, 0.9, 0.2, 0.4])
    assert partly_sorted(scores, 2).tolist() == [3, 0, 1, 2, 4, 5]
    assert partly_sorted(scores, 9).tolist() == [3, 0, 5, 2, 4, 1]


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([(2, 2, 1, 1), (2, 4, 1, 1), (1, 3)], r"expected \(1, 2, H, W\)"),
        ([(1, 2, 1, 1), (1, 4, 1, 2), (1, 3)], r"expected \(1, 4, 1, 1\)"),
        ([(1, 2, 1, 1), (1, 4, 1, 1), (1, 2)], r"expected \(1, 3\)"),
        ([(2,), (4,), (3,)], r"expected \(1, 2, H, W\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes, words):
    with pytest.raises(LayerForgeError, match=words):
        Rig(Proposal, ONE, [np.zeros(shape) for shape in shapes])


class TestNonMaxSuppression(LayerTest):
    layer, gradient = NonMaxSuppression, False
    cases = [
        dict(max_output_boxes_per_class=3, iou_threshold=0.5), dict(max_output_boxes_per_class=1),
        dict(max_output_boxes_per_class=3, iou_threshold=1.0, score_threshold=0.35, center_point_box=1),
    ]

    def inputs(self, rng, center_point_box=0, **_):
        corners = np.array([[0, 0, 2, 2], [2, 2.1, 0, 0.1], [5, 5, 6, 7], [0, 0, 0.1, 0.1]])
        boxes = corners if not center_point_box else np.array([[1, 1, 2, 2], [1, 1, 2, 2], [5, 6, 1, 2], [0, 0, 1, 1]])
        return [boxes[None], np.array([[[0.3, 0.9, 0.5, 0.4], [0.6, 0.6, -1, -0.5]]])]

    def expected(self, boxes, scores, max_output_boxes_per_class, iou_threshold=0.0, score_threshold=0.0,
                 center_point_box=0):
        if max_output_boxes_per_class == 1:
            return np.array([[0, 0, 1], [0, 1, 0]])
        found = [[0, 0, 1], [0, 0, 2], [0, 0, 3], [0, 1, 0]] + ([[0, 1, 1]] if center_point_box else [])
        return np.array([*found, *[[0, 0, 0]] * (6 - len(found))])


def test_scores_of_other_boxes_are_refused():
    with pytest.raises(LayerForgeError, match=r"expected \(1, classes, 2\)"):
        Rig(NonMaxSuppression, dict(max_output_boxes_per_class=1), [np.zeros((1, 2, 4)), np.zeros((1, 1, 3))])
