"""CropAndResize against its formula, value by value."""

import numpy as np
import pytest

from layerforge.core.errors import LayerForgeError
from layerforge.layers.crop_and_resize import CropAndResize
from layerforge.testing import LayerTest
from layerforge.testing.harness import Rig

BOXES = np.array([[0.1, 0.2, 0.9, 0.7], [0.8, 0.6, 0.3, 0.1], [-0.3, 0.4, 0.6, 1.2], [0.25, 0.55, 0.25, 0.55]])
PICTURES = np.array([0, 1, 1, 0])


class TestCropAndResize(LayerTest):
    layer, check_bottoms = CropAndResize, (0,)
    cases = [
        dict(crop_h=3, crop_w=2), dict(crop_h=1, crop_w=4, extrapolation_value=2.5),
        dict(crop_h=3, crop_w=1, data_format="NCHW"),
    ]

    def inputs(self, rng, data_format="NHWC", **_):
        return [rng.normal(size=(2, 5, 6, 3) if data_format == "NHWC" else (2, 3, 5, 6)), PICTURES, BOXES]

    def expected(self, x, pictures, boxes, crop_h, crop_w, extrapolation_value=0.0, data_format="NHWC"):
        x = x if data_format == "NHWC" else x.transpose(0, 2, 3, 1)
        y = np.full((len(boxes), crop_h, crop_w, 3), extrapolation_value)
        for r, (top, left, bottom, right) in enumerate(boxes):
            for i, j in np.ndindex(crop_h, crop_w):
                a = 4 * (top + i * (bottom - top) / (crop_h - 1) if crop_h > 1 else (top + bottom) / 2)
                b = 5 * (left + j * (right - left) / (crop_w - 1) if crop_w > 1 else (left + right) / 2)
                if 0 <= a <= 4 and 0 <= b <= 5:
                    h, w = int(a), int(b)
                    seen = x[int(pictures[r])][np.ix_([h, min(h + 1, 4)], [w, min(w + 1, 5)])]
                    y[r, i, j] = np.einsum("i,j,ijc->c", [1 - a + h, a - h], [1 - b + w, b - w], seen)
        return y if data_format == "NHWC" else y.transpose(0, 3, 1, 2)


def test_a_box_of_a_missing_picture_is_refused():
    made = Rig(CropAndResize, dict(crop_h=1, crop_w=1), [np.zeros((1, 2, 2, 1)), np.array([1]), np.zeros((1, 4))])
    with pytest.raises(LayerForgeError, match="box 0 of bottom.2. is in picture 1 of 1"):
        made.forward()


@pytest.mark.parametrize(
    ("numbers", "boxes", "words"), [((2,), (3, 4), "expected .3,."), ((3,), (3, 5), "expected .R, 4.")]
)
def test_shapes_that_do_not_fit_are_refused(numbers, boxes, words):
    with pytest.raises(LayerForgeError, match=words):
        Rig(CropAndResize, dict(crop_h=1, crop_w=1), [np.zeros((1, 2, 2, 1)), np.zeros(numbers), np.zeros(boxes)])
