"""Which detected boxes are right."""

from __future__ import annotations

import numpy as np

from layerforge.layers.base import Layer
from layerforge.layers.boxes import overlaps
from layerforge.layers.detection_order import falling
from layerforge.netdef.params import Params, field


class DetectionEvaluateParams(Params, message="detection_evaluate_param"):
    num_classes: int = field(int, required=True, at_least=1, doc="the number of classes, the background among them")
    background_label_id: int = field(int, 0, at_least=0, doc="the class that is left out")
    overlap_threshold: float = field(float, 0.5, above=0, doc="from this overlap on a box is right")
    evaluate_difficult_gt: bool = field(bool, True, doc="true boxes marked as difficult count")


class DetectionEvaluate(Layer):
    """y = a row for each class: -1, class, number of true boxes, -1, -1;
    then one for each detected box: picture, class, score, right (1 or 0), wrong (0 or 1)

    bottom[0]  detected boxes (1, 1, M, 7)  as DetectionOutput gives them
    bottom[1]  true boxes (1, 1, G, 8)      picture (-1: the end), class, number, xmin, ymin, xmax, ymax, difficult
    top[0]     y (1, 1, rows, 5)            by picture, then class, then falling score

    A box is right if it overlaps the nearest true box of its class enough, and no better box has taken that one.
    A difficult true box that does not count makes a box neither right nor wrong.
    Source: Liu et al. 2016 (SSD), detection_evaluate_layer
    """

    type, Params = "DetectionEvaluate", DetectionEvaluateParams
    bottoms, no_gradient = 2, (0, 1)
    dynamic, arrays = True, "host"
    captured, uncaptured_reason = False, "how many rows there are depends on values"

    def reshape(self, bottom, top):
        for i, width in enumerate((7, 8)):
            shape = bottom[i].shape
            self.require(len(shape) == 4 and shape[:2] == (1, 1) and shape[3] == width,
                         f"bottom[{i}] has the shape {shape}, expected (1, 1, rows, {width})")
        top[0].reshape(1, 1, 1, 5)

    def forward(self, bottom, top):
        p, truth = self.params, bottom[1].data.reshape(-1, 8)
        end = np.flatnonzero(truth[:, 0].astype(int) == -1)
        truth = truth[: end[0]] if len(end) else truth
        labels, counts = truth[:, 1].astype(int), p.evaluate_difficult_gt | (truth[:, 7] == 0)
        rows = [[-1, label, (counts & (labels == label)).sum(), -1, -1] for label in range(p.num_classes)
                if label != p.background_label_id]
        found = bottom[0].data.reshape(-1, 7)
        found = found[found[:, 1].astype(int) != -1]
        keys = found[:, :2].astype(int)
        for picture, label in sorted(set(map(tuple, keys.tolist()))):
            here = (truth[:, 0].astype(int) == picture) & (labels == label)
            boxes = found[(keys == (picture, label)).all(axis=1)]
            rows += self._judge(picture, label, boxes, truth[here, 3:7], counts[here])
        top[0].reshape(1, 1, len(rows), 5)
        top[0].data[0, 0] = rows

    def _judge(self, picture, label, boxes, truth, counts):
        """The rows of one class of a picture."""
        if not len(truth):
            return [[picture, label, score, 0, 1] for score in boxes[:, 2]]
        rows, taken = [], np.zeros(len(truth), bool)
        for k in falling(boxes[:, 2]):
            common = overlaps(boxes[k, 3:7], truth)
            best = int(common.argmax())
            right = wrong = 0
            if common[best] < self.params.overlap_threshold:
                wrong = 1
            elif counts[best]:
                right, wrong = int(not taken[best]), int(taken[best])
                taken[best] = True
            rows.append([picture, label, boxes[k, 2], right, wrong])
        return rows
