"""Codes, overlaps, matching and thinning out of boxes."""

import numpy as np
import pytest

from layerforge.layers.boxes import CODES, decode, encode, match, overlaps, suppress

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


@pytest.mark.parametrize("code_type", CODES)
def test_decode_undoes_encode(code_type):
    boxes = np.array([[0.2, 0.1, 0.5, 0.6], [0.3, 0.4, 0.8, 0.9]])
    code = encode(PRIORS, VARIANCES, boxes, code_type)
    np.testing.assert_allclose(decode(PRIORS, VARIANCES, code, code_type), boxes)


BOXES = np.array([[0, 0, 0.4, 0.4], [0, 0, 0.4, 0.5], [0.5, 0.5, 0.9, 0.9], [0.6, 0.5, 1.1, 0.9], [0, 0.9, 0.1, 1]])
TRUTH = np.array([[0, 0, 0.4, 0.4], [0.55, 0.5, 0.95, 0.9]])


def pair(**more):
    case = dict(per_prediction=True, threshold=0.5, inside_only=False)
    return match(BOXES, TRUTH, **dict(case, **more))[0].tolist()


def test_every_true_box_takes_its_best_box():
    assert pair(per_prediction=False) == [0, -1, 1, -1, -1]


def test_boxes_left_take_the_true_box_they_overlap_most():
    assert pair() == [0, 0, 1, 1, -1]
    assert pair(threshold=0.75) == [0, 0, 1, -1, -1]


def test_boxes_beyond_the_picture_may_be_left_out():
    assert pair(inside_only=True) == [0, 0, 1, -2, -1]


def test_true_boxes_do_not_share_a_box():
    index, overlap = match(BOXES[:2], TRUTH[[0, 0]], per_prediction=False, threshold=0.5, inside_only=False)
    assert index.tolist() == [0, 1]
    np.testing.assert_allclose(overlap, [1, 0.8])
