"""From a single-shot detector's numbers to boxes."""

from __future__ import annotations

import numpy as np

from layerforge.layers.base import Layer
from layerforge.layers.boxes import CODES, NmsParams, decode, priors_of, suppress
from layerforge.layers.detection_order import falling
from layerforge.netdef.params import Params, field


class DetectionOutputParams(Params, message="detection_output_param"):
    num_classes: int = field(int, required=True, at_least=1, doc="the number of classes, the background among them")
    share_location: bool = field(bool, True, doc="one box for all classes of a prior")
    background_label_id: int = field(int, 0, doc="the class that is left out; -1: none")
    nms_param: NmsParams = field(NmsParams, NmsParams(), doc="how overlapping boxes are thinned out")
    code_type: str = field(str, "CORNER", choices=CODES, doc="what the numbers say of a box")
    keep_top_k: int = field(int, -1, at_least=-1, doc="so many boxes of a picture stay; -1: all")
    variance_encoded_in_target: bool = field(bool, False, doc="the numbers hold the variances already")
    confidence_threshold: float = field(float, doc="a score must be above this; all without")


class DetectionOutput(Layer):
    """y = rows of: picture, class, score, xmin, ymin, xmax, ymax;  by picture, then class, then falling score

    bottom[0]  codes (N, P · L · 4)     L = 1 with share_location, else num_classes
    bottom[1]  scores (N, P · num_classes)
    bottom[2]  priors (1, 2, P · 4)     boxes and variances, as PriorBox gives them
    top[0]     y (1, 1, rows, 7)        without any box N rows: the picture, then -1

    Source: Liu et al. 2016 (SSD), detection_output_layer
    """

    type, Params = "DetectionOutput", DetectionOutputParams
    bottoms, no_gradient, dynamic = 3, (0, 1, 2), True
    arrays, captured, uncaptured_reason = "host", False, "how many boxes there are depends on their values"

    def setup(self, bottom, top):
        p = self.params
        self.require(p.share_location is False or p.background_label_id != -1,
                     "background_label_id: -1 needs share_location: false", field="background_label_id")

    def reshape(self, bottom, top):
        self.priors, self.places = priors_of(self, bottom)
        top[0].reshape(1, 1, 1, 7)

    def forward(self, bottom, top):
        p, n = self.params, bottom[0].shape[0]
        priors, variances = bottom[2].data.reshape(2, self.priors, 4).astype(float)
        code = bottom[0].data.reshape(n, self.priors, self.places, 4).transpose(0, 2, 1, 3).astype(float)
        scores = bottom[1].data.reshape(n, self.priors, p.num_classes).transpose(0, 2, 1)
        boxes = decode(priors, 1.0 if p.variance_encoded_in_target else variances, code, p.code_type)
        rows = [row for picture in range(n) for row in self._picture(picture, boxes[picture], scores[picture])]
        if not rows:
            rows = [[picture, *(-1,) * 6] for picture in range(n)]
        top[0].reshape(1, 1, len(rows), 7)
        top[0].data[0, 0] = rows

    def _picture(self, picture, boxes, scores):
        """The rows of one picture; boxes (places, P, 4), scores (classes, P)."""
        p, nms, found = self.params, self.params.nms_param, []
        for label in range(p.num_classes):
            if label == p.background_label_id:
                continue
            place = boxes[0 if p.share_location else label]
            kept = suppress(
                place, scores[label], threshold=nms.nms_threshold, eta=nms.eta,
                score=-np.inf if p.confidence_threshold is None else p.confidence_threshold,
                top_k=-1 if nms.top_k is None else nms.top_k,
            )
            found += [[picture, label, scores[label][index], *place[index]] for index in kept]
        if -1 < p.keep_top_k < len(found):
            best = [found[k] for k in falling([row[2] for row in found])[: p.keep_top_k]]
            found = sorted(best, key=lambda row: row[1])
        return found
