"""MultiBoxLoss: what counts, and its gradients."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.multibox_loss import MultiBoxLoss
from layerforge.testing.gradient import check_gradient
from layerforge.testing.harness import Rig

PRIORS = np.array([[0.1, 0.1, 0.4, 0.5], [0.5, 0.5, 0.9, 0.8], [0.1, 0.6, 0.3, 0.9], [0.6, 0.1, 1.2, 0.4]])
PRIOR = np.stack([PRIORS.reshape(-1), np.tile([0.1, 0.1, 0.2, 0.2], 4)])[None]
TRUTH = np.array([
    [0, 1, 0, 0.1, 0.1, 0.4, 0.45, 0],
    [1, 2, 0, 0.55, 0.5, 0.9, 0.8, 0],
    [1, 1, 1, 0.1, 0.6, 0.3, 0.8, 1],
    [-1, 0, 0, 0, 0, 0, 0, 0],
])[None, None]


def inputs(places=1, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(2, 16 * places)) * 0.5, rng.normal(size=(2, 12)), PRIOR, TRUTH]


def rig(given=None, **case):
    return Rig(MultiBoxLoss, dict(num_classes=3, **case), given or inputs(), tops=1, dtype=np.float64)


@pytest.mark.parametrize("case", [
    dict(mining_type="NONE"),
    dict(mining_type="NONE", code_type="CENTER_SIZE", loc_loss_type="L2", loc_weight=0.5),
    dict(mining_type="NONE", code_type="CORNER_SIZE", conf_loss_type="LOGISTIC", loss_param=dict(normalization="FULL")),
    dict(neg_pos_ratio=9.0),
    dict(mining_type="HARD_EXAMPLE", sample_size=4),
])
def test_gradient_agrees_with_differences(case):
    check_gradient(MultiBoxLoss, dict(num_classes=3, **case), inputs(), check_bottoms=(0, 1), points=16, tolerance=1e-4)


def test_classes_may_have_boxes_of_their_own():
    case = dict(num_classes=3, mining_type="NONE", share_location=False)
    check_gradient(MultiBoxLoss, case, inputs(3), check_bottoms=(0, 1), points=24, tolerance=1e-4)


def counted(made, n=2):
    """Whether the scores of each prior count, (N, P)."""
    made.forward()
    return made.backward([np.ones(())])[1].reshape(n, 4, 3).any(axis=2).tolist()


def test_matches_and_negatives_for_each_match_count():
    given = inputs()
    given[1][:, 11] = 50  # the last prior is the worst negative of both pictures
    assert counted(rig(given, neg_pos_ratio=1.0)) == [[True, False, False, True], [True] * 4]
    assert counted(rig(given, neg_pos_ratio=0.5)) == [[True, False, False, False], [False, True, True, True]]


def test_difficult_boxes_may_be_left_out():
    made = rig(use_difficult_gt=False, neg_pos_ratio=0.0)
    assert counted(made) == [[True, False, False, False], [False, True, False, False]]


def test_a_picture_without_boxes_counts_only_without_mining():
    given = inputs()
    given[3] = TRUTH[:, :, :1]
    assert counted(rig(given))[1] == [False] * 4
    assert counted(rig(given, mining_type="NONE"))[1] == [True] * 4


def test_without_matches_the_divisor_is_one():
    given = inputs()
    given[3] = TRUTH[:, :, 3:]
    made = rig(given)
    assert made.forward()[0] == 0
    assert not any(dx.any() for dx in made.backward([np.ones(())])[:2])


def test_coordinates_outside_may_take_no_part():
    given = inputs()
    given[3] = np.array([0, 1, 0, 0.6, 0.1, 1.0, 0.4, 0]).reshape(1, 1, 1, 8)
    made = rig(given, bp_inside=True)
    made.forward()
    dloc = made.backward([np.ones(())])[0].reshape(2, 4, 4)
    assert dloc[0, 3, 2] == 0 and (dloc[0, 3, [0, 1, 3]] != 0).all()


@pytest.mark.parametrize("case, given, words", [
    (dict(do_neg_mining=False), None, "contradicts mining_type"),
    (dict(share_location=False), inputs(3), "needs share_location: true"),
    (dict(background_label_id=3), None, "there are 3 classes"),
    (dict(), [*inputs()[:2], PRIOR, TRUTH[..., :7]], "expected (1, 1, G, 8)"),
    (dict(), [np.zeros((2, 15)), *inputs()[1:]], "expected 16 for 2"),
])
def test_what_does_not_fit_is_refused(case, given, words):
    with pytest.raises(LayerForgeError) as caught:
        rig(given, **case)
    assert words in str(caught.value)


@pytest.mark.parametrize("row, words", [
    ([0, 0, 0, 0.1, 0.1, 0.4, 0.5, 0], "a true box of the class 0"),
    ([0, 3, 0, 0.1, 0.1, 0.4, 0.5, 0], "a true box of the class 3"),
])
def test_a_true_box_of_a_wrong_class_is_refused(row, words):
    given = inputs()
    given[3] = np.array(row).reshape(1, 1, 1, 8)
    with pytest.raises(LayerForgeError, match=words):
        rig(given).forward()
