"""Boxes that are thinned out: proposals of regions, and ONNX's form of it."""

from __future__ import annotations

import heapq

import numpy as np

from layerforge.layers.base import Layer
from layerforge.layers.boxes import suppress
from layerforge.netdef.params import Params, field


class ProposalParams(Params, message="proposal_param"):
    feat_stride: int = field(int, 16, at_least=1, doc="a step of the map in pixels")
    anchor_base_size: int = field(int, 16, at_least=1, doc="the side of the square that anchors are made from")
    anchor_scale: int = field(int, 3, doc="3: anchors 8, 16 and 32 times as large; others: 32 times alone")
    anchor_ratio: int = field(int, 3, doc="3: heights ½, 1 and 2 times the widths; others: 1 alone")
    max_rois: int = field(int, 300, at_least=1, doc="so many boxes stay")
    pre_nms_topn: int = field(int, 6000, at_least=1, doc="so many of the best come first, the others in no such order")
    rpn_min_size: float = field(float, 16.0, at_least=0, doc="smaller boxes go, in pixels of the unscaled picture")
    rpn_nms_thresh: float = field(float, 0.7, at_least=0, doc="the overlap above which the worse of two boxes goes")


class Proposal(Layer):
    """y = rows of: 0, x1, y1, x2, y2;  by falling score

    bottom[0]  scores (1, 2 A, H, W)    the second half: how likely each anchor holds something
    bottom[1]  codes (1, 4 A, H, W)     centre + size · code, size · e^code
    bottom[2]  the picture (1, 3)       height, width, scale
    top[0]     y (boxes, 5);  top[1]  their scores (boxes, 1), may be left out

    Boxes are cut at the picture; their sizes have +1. The last candidate is never dropped for its size, and of equal
    scores the larger index comes first. Where the best pre_nms_topn are not enough for max_rois, others follow in the
    order that std::partial_sort leaves, all as in the original.
    Source: Ren et al. 2015, proposal_layer in synopsys-caffe
    """

    type, Params = "Proposal", ProposalParams
    bottoms, tops, no_gradient, dynamic = 3, (1, 2), (0, 1, 2), True
    arrays, captured, uncaptured_reason = "host", False, "how many boxes there are depends on their scores"

    def setup(self, bottom, top):
        p = self.params
        scales = (8, 16, 32) if p.anchor_scale == 3 else (32,)
        ratios = (0.5, 1, 2) if p.anchor_ratio == 3 else (1,)
        self.anchors = anchors(p.anchor_base_size, ratios, scales)

    def reshape(self, bottom, top):
        scores, codes, picture = (view.shape for view in bottom)
        count, sizes = len(self.anchors), scores[2:]
        self.require(len(scores) == 4 and scores[:2] == (1, 2 * count),
                     f"bottom[0] has the shape {scores}, expected (1, {2 * count}, H, W)",
                     hint=f"one picture, two scores for each of {count} anchors")
        self.require(codes == (1, 4 * count, *sizes),
                     f"bottom[1] has the shape {codes}, expected {(1, 4 * count, *sizes)}",
                     hint=f"four numbers for each of {count} anchors")
        self.require(bottom[2].count() >= 3, f"bottom[2] has the shape {picture}, expected (1, 3)",
                     hint="height, width and scale of the picture")
        for view, shape in zip(top, ((1, 1, 1, 5), (1, 1, 1, 1))):
            view.reshape(*shape)

    def forward(self, bottom, top):
        p = self.params
        height, width, scale = bottom[2].data.reshape(-1)[:3]
        scores = bottom[0].data[0, len(self.anchors) :].reshape(-1)  # (A · H · W)
        boxes = self._boxes(bottom[1].data[0], int(width), int(height))
        sides = boxes[:, 2:] - boxes[:, :2] + 1
        large = (sides >= p.rpn_min_size * scale).all(axis=1)
        large[-1:] = True
        boxes, scores = boxes[large], scores[large]
        order = partly_sorted(scores, p.pre_nms_topn)
        kept = order[thinned(boxes[order], p.rpn_nms_thresh, p.max_rois)]
        top[0].reshape(len(kept), 5)
        top[0].data[:, 0] = 0
        top[0].data[:, 1:] = boxes[kept]
        if len(top) > 1:
            top[1].reshape(len(kept), 1)
            top[1].data[:, 0] = scores[kept]

    def _boxes(self, codes, width, height):
        """(A · H · W, 4), cut at the picture; codes (4 A, H, W)."""
        rows, columns = codes.shape[1:]
        codes = codes.reshape(-1, 4, rows, columns)  # (A, 4, H, W)
        size = (self.anchors[:, 2:] - self.anchors[:, :2] + 1)[:, :, None, None]
        middle = self.anchors[:, :2, None, None] + size / 2
        step = self.params.feat_stride * np.stack(np.broadcast_arrays(np.arange(columns), np.arange(rows)[:, None]))
        centre = middle + step + size * codes[:, :2]
        half = size * np.exp(codes[:, 2:]) / 2
        corners = np.concatenate([centre - half, centre + half], axis=1)
        most = np.array([width - 1, height - 1] * 2)[:, None, None]
        return np.clip(corners, 0, most).transpose(0, 2, 3, 1).reshape(-1, 4)


class NonMaxSuppressionParams(Params, message="non_max_suppression_param"):
    max_output_boxes_per_class: int = field(int, required=True, at_least=1, doc="so many boxes of a class stay")
    iou_threshold: float = field(float, 0.0, at_least=0, at_most=1, doc="the worse of two boxes that overlap more goes")
    score_threshold: float = field(float, 0.0, doc="only higher scores count")
    center_point_box: int = field(int, 0, choices=(0, 1), doc="0: boxes are y1, x1, y2, x2; 1: x, y, width, height")


class NonMaxSuppression(Layer):
    """y = rows of: picture, class, box;  by picture, class and falling score, then rows of 0

    bottom[0]  boxes (N, B, 4);  bottom[1]  scores (N, L, B)
    top[0]     y (N · L · max_output_boxes_per_class, 3)

    Of equal scores the lower box comes first. Source: ONNX's NonMaxSuppression, in synopsys-caffe
    """

    type, Params = "NonMaxSuppression", NonMaxSuppressionParams
    bottoms, no_gradient, in_place = 2, (0, 1), False
    arrays, captured, uncaptured_reason = "host", False, "which boxes stay depends on their values"

    def reshape(self, bottom, top):
        boxes, scores = bottom[0].shape, bottom[1].shape
        self.require(len(boxes) == 3 and boxes[2] == 4, f"bottom[0] has the shape {boxes}, expected (N, B, 4)")
        self.require(len(scores) == 3 and (scores[0], scores[2]) == boxes[:2],
                     f"bottom[1] has the shape {scores}, expected ({boxes[0]}, classes, {boxes[1]})",
                     hint="a score of every class for every box")
        top[0].reshape(boxes[0] * scores[1] * self.params.max_output_boxes_per_class, 3)

    def forward(self, bottom, top):
        p, boxes, scores = self.params, self._corners(bottom[0].data.astype(float)), bottom[1].data
        rows = [
            (picture, label, box)
            for picture in range(len(scores))
            for label in range(scores.shape[1])
            for box in suppress(boxes[picture], scores[picture, label], score=p.score_threshold,
                                threshold=p.iou_threshold, top_k=-1, eta=1)[: p.max_output_boxes_per_class]
        ]
        top[0].data[...] = 0
        top[0].data[: len(rows)] = np.array(rows).reshape(-1, 3)

    def _corners(self, boxes):
        """Lower and upper corners (N, B, 4) of either form."""
        first, second = boxes[..., :2], boxes[..., 2:]
        if self.params.center_point_box:
            return np.concatenate([first - second / 2, first + second / 2], axis=-1)
        return np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=-1)


def anchors(base, ratios, scales):
    """Boxes (A, 4) around the middle of a square of side `base`, whose ends count; by ratio, then scale."""
    middle, found = (base - 1) / 2, []
    for ratio in ratios:
        wide = np.floor(np.sqrt(base * base / ratio) + 0.5)
        high = np.floor(wide * ratio + 0.5)
        for scale in scales:
            half = (np.array([wide, high]) * scale - 1) / 2
            found.append([*(middle - half), *(middle + half)])
    return np.array(found)


def partly_sorted(scores, count):
    """Indices with the best `count` first, by falling score, then falling index; the others as std::partial_sort
    leaves them: each better one that is found on the way changes places with the worst of the best so far."""
    best = list(zip(scores.tolist(), range(len(scores))))
    heap, rest = best[:count], best[count:]
    heapq.heapify(heap)
    rest = [heapq.heapreplace(heap, each) if each > heap[0] else each for each in rest]
    return np.array([index for _, index in (*sorted(heap, reverse=True), *rest)], int)


def thinned(boxes, threshold, most):
    """Indices of the boxes (M, 4), best first, that overlap no better one that stays by more than the threshold."""
    areas = (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)
    left, kept = np.arange(len(boxes)), []
    while len(left) and len(kept) < most:
        best, left = left[0], left[1:]
        kept.append(best)
        sides = np.minimum(boxes[best, 2:], boxes[left, 2:]) - np.maximum(boxes[best, :2], boxes[left, :2]) + 1
        common = np.maximum(sides, 0).prod(axis=1)
        left = left[common / (areas[best] + areas[left] - common) <= threshold]
    return kept
