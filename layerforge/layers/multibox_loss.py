"""The loss of single-shot detectors."""

from __future__ import annotations

import numpy as np

from layerforge.layers.base import Layer
from layerforge.layers.boxes import CODES, NmsParams, area, decode, encode, match, priors_of, suppress
from layerforge.layers.detection_order import falling
from layerforge.layers.labels import LossParams
from layerforge.netdef.params import Params, field

SMALLEST = float(np.finfo(np.float32).tiny)  # of a probability under a logarithm


class MultiBoxLossParams(Params, message="multibox_loss_param"):
    loc_loss_type: str = field(str, "SMOOTH_L1", choices=("L2", "SMOOTH_L1"), doc="the loss of a coordinate")
    conf_loss_type: str = field(str, "SOFTMAX", choices=("SOFTMAX", "LOGISTIC"), doc="the loss of the scores")
    loc_weight: float = field(float, 1.0, doc="the weight of the boxes' loss")
    num_classes: int = field(int, required=True, at_least=1, doc="the number of classes, the background among them")
    share_location: bool = field(bool, True, doc="one box for all classes of a prior")
    match_type: str = field(str, "PER_PREDICTION", choices=("BIPARTITE", "PER_PREDICTION"),
                            doc="one prior for each true box, or also every prior that overlaps one")
    overlap_threshold: float = field(float, 0.5, doc="the overlap from which PER_PREDICTION matches")
    use_prior_for_matching: bool = field(bool, True, doc="priors are matched; else the predicted boxes")
    background_label_id: int = field(int, 0, at_least=0, doc="the class of priors without a true box")
    use_difficult_gt: bool = field(bool, True, doc="true boxes marked as difficult count")
    do_neg_mining: bool = field(bool, doc="the old form of mining_type; must agree with it")
    neg_pos_ratio: float = field(float, 3.0, at_least=0, doc="negatives for each match (MAX_NEGATIVE)")
    neg_overlap: float = field(float, 0.5, doc="a prior with this overlap or more is no negative (MAX_NEGATIVE)")
    code_type: str = field(str, "CORNER", choices=CODES, doc="what the numbers say of a box")
    encode_variance_in_target: bool = field(bool, False, doc="variances divide the loss's inputs instead of the code")
    map_object_to_agnostic: bool = field(bool, False, doc="every true box has the class after the background's")
    ignore_cross_boundary_bbox: bool = field(bool, False, doc="boxes that reach beyond the picture take no part")
    bp_inside: bool = field(bool, False, doc="coordinates outside the picture take no part")
    mining_type: str = field(str, "MAX_NEGATIVE", choices=("NONE", "MAX_NEGATIVE", "HARD_EXAMPLE"),
                             doc="all priors count; or the worst negatives; or the worst of all")
    nms_param: NmsParams = field(NmsParams, NmsParams(), doc="thins candidates of mining out")
    sample_size: int = field(int, 64, at_least=1, doc="priors of a picture that count (HARD_EXAMPLE)")
    use_prior_for_nms: bool = field(bool, False, doc="priors are thinned out; else the predicted boxes")
    loss: LossParams = field(LossParams, LossParams(), beside=True,
                             doc="what the loss is divided by: VALID is the number of matches")


class MultiBoxLoss(Layer):
    """L = (loc_weight Σ loss(code - target) + Σ loss(scores, class)) / D over matched and, for the scores, mined priors

    bottom[0]  codes (N, P · L · 4)     L = 1 with share_location, else num_classes
    bottom[1]  scores (N, P · num_classes)
    bottom[2]  priors (1, 2, P · 4)     boxes and variances, as PriorBox gives them
    bottom[3]  true boxes (1, 1, G, 8)  picture (-1: none), class, number, xmin, ymin, xmax, ymax, difficult
    top[0]     L ()

    A part whose propagate_down is false is left out of L. Pictures without true boxes count only when nothing is mined.
    Source: Liu et al. 2016 (SSD), multibox_loss_layer and bbox_util
    """

    type, Params = "MultiBoxLoss", MultiBoxLossParams
    bottoms, no_gradient, loss, auto_tops = 4, (2, 3), True, True
    arrays, captured, uncaptured_reason = "host", False, "which priors count depends on their values"

    def setup(self, bottom, top):
        p = self.params
        self.mining = p.mining_type != "NONE"
        self.require(p.do_neg_mining is None or p.do_neg_mining == self.mining,
                     f"do_neg_mining: {p.do_neg_mining} contradicts mining_type: {p.mining_type}",
                     hint="remove do_neg_mining", field="do_neg_mining")
        self.require(p.share_location or not self.mining, f"mining_type: {p.mining_type} needs share_location: true",
                     hint="give mining_type: NONE", field="mining_type")
        self.require(p.background_label_id < p.num_classes,
                     f"background_label_id: {p.background_label_id}, there are {p.num_classes} classes",
                     field="background_label_id")
        said = self.definition.propagate_down
        self.parts = said[:2] if said else (True, True)
        self.mode = p.loss.mode()

    def reshape(self, bottom, top):
        self.priors, self.places = priors_of(self, bottom)
        truth = bottom[3].shape
        self.require(len(truth) == 4 and truth[3] == 8, f"bottom[3] has the shape {truth}, expected (1, 1, G, 8)")
        top[0].reshape(())

    def forward(self, bottom, top):
        p, n = self.params, bottom[0].shape[0]
        self.boxes, self.variances = bottom[2].data.reshape(2, self.priors, 4)
        self.code = bottom[0].data.reshape(n, self.priors, self.places, 4)
        self.scores = bottom[1].data.reshape(n, self.priors, p.num_classes).astype(float)
        truth = self._truth(bottom[3].data.reshape(-1, 8))
        picked = [self._pick(i, truth.get(i)) for i in range(n)]
        self.matches = [(i, j, place, one) for i, (found, _) in enumerate(picked) for place, index in found
                        for j, one in enumerate(index) if one > -1]
        loc, self.loc_gradient = self._loc_loss(truth)
        conf, self.conf_gradient = self._conf_loss(truth, picked)
        items = {"VALID": len(self.matches), "FULL": n * self.priors, "BATCH_SIZE": n, "NONE": 1}[self.mode]
        self.divisor = max(1, items)
        top[0].data[...] = (self.parts[0] * p.loc_weight * loc + self.parts[1] * conf) / self.divisor

    def _truth(self, rows):
        """Picture → (classes (G,), boxes (G, 4))."""
        p, found = self.params, {}
        rows = rows[(rows[:, 0].astype(int) != -1) & (p.use_difficult_gt | (rows[:, 7] == 0))]
        labels = rows[:, 1].astype(int)
        bad = (labels < 0) | (labels >= p.num_classes) | (labels == p.background_label_id)
        if bad.any():
            self.require(False, f"bottom[3] holds a true box of the class {labels[bad][0]}",
                         hint=f"classes are 0 to {p.num_classes - 1} without the background's, {p.background_label_id}")
        for picture in np.unique(rows[:, 0].astype(int)):
            here = rows[:, 0].astype(int) == picture
            found[picture] = labels[here], rows[here, 3:7]
        return found

    def _predicted(self, i, place):
        """The boxes that the codes of a picture stand for."""
        variances = 1.0 if self.params.encode_variance_in_target else self.variances
        return decode(self.boxes, variances, self.code[i, :, place], self.params.code_type)

    def _pick(self, i, truth):
        """Of one picture: [(place, index of the true box for each prior)], and the mined negatives."""
        if truth is None:
            return [], []
        p, (labels, boxes) = self.params, truth
        options = {"per_prediction": p.match_type == "PER_PREDICTION", "threshold": p.overlap_threshold,
                   "inside_only": p.ignore_cross_boundary_bbox}
        if p.share_location:
            source = self.boxes if p.use_prior_for_matching else self._predicted(i, 0)
            index, overlap = match(source, boxes, **options)
            return ([(0, index)], self._mine(i, labels, boxes, index, overlap)) if self.mining else ([(0, index)], [])
        found = []
        whole = match(self.boxes, boxes, **options)[0] if p.use_prior_for_matching else None
        for place in range(p.num_classes):
            mine = np.flatnonzero(labels == place)
            if place == p.background_label_id or not len(mine):
                continue
            if whole is not None:
                found.append((place, np.where(np.isin(whole, mine), whole, -1)))
            else:
                index, _ = match(self._predicted(i, place), boxes[mine], **options)
                found.append((place, np.where(index > -1, mine[index], index)))
        return found, []

    def _mine(self, i, labels, boxes, index, overlap):
        """The negatives that count; with HARD_EXAMPLE also drops matches from `index` that do not."""
        p, nms = self.params, self.params.nms_param
        target = np.full(self.priors, p.background_label_id)
        target[index > -1] = labels[index[index > -1]]
        loss = self._score_losses(self.scores[i], target)
        if p.mining_type == "MAX_NEGATIVE":
            candidates = np.flatnonzero((index == -1) & (overlap < p.neg_overlap))
            wanted = int((index > -1).sum() * p.neg_pos_ratio)
        else:
            candidates, wanted = np.arange(self.priors), p.sample_size
            for j in np.flatnonzero(index > -1):
                loss[j] += self._coordinate_losses(self._difference(i, j, 0, boxes[index[j]]))[0].sum()
        if p.has("nms_param") and nms.nms_threshold > 0:
            source = (self.boxes if p.use_prior_for_nms else self._predicted(i, 0))[candidates]
            scores = np.where(area(source) < 1e-5, -np.inf, loss[candidates])
            order = suppress(source, scores, score=-np.inf, threshold=nms.nms_threshold, top_k=nms.top_k or 0, eta=1.0)
        else:
            order = falling(loss[candidates])
        chosen = np.zeros(self.priors, bool)
        chosen[candidates[order[:wanted]]] = True
        negatives = np.flatnonzero(chosen & (index == -1))
        if p.mining_type == "HARD_EXAMPLE":
            index[(index > -1) & ~chosen] = -1
        return negatives

    def _score_losses(self, scores, target):
        """The loss of each prior's scores (P, C)."""
        if self.params.conf_loss_type == "SOFTMAX":
            shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
            share = shifted[np.arange(len(target)), target] / shifted.sum(axis=1)
            return -np.log(np.maximum(share, SMALLEST))
        return _cross_entropy(scores, np.arange(scores.shape[1]) == target[:, None])[0].sum(axis=1)

    def _difference(self, i, j, place, box):
        """code - target of one match, each coordinate; 0 for those that take no part."""
        p = self.params
        prior, variances = self.boxes[j : j + 1], self.variances[j].astype(float)
        self.require(bool((box[2:] > box[:2]).all()), f"a true box of bottom[3], {box.tolist()}, is empty",
                     hint="xmax and ymax must be larger than xmin and ymin")
        target = encode(prior, 1.0 if p.encode_variance_in_target else variances, box[None], p.code_type)[0]
        d = self.code[i, j, place] - target
        if p.bp_inside:
            at = prior[0] if p.use_prior_for_matching else self._predicted(i, place)[j]
            d = np.where((at < 0) | (at > 1), 0, d)
        return d / variances if p.encode_variance_in_target else d

    def _coordinate_losses(self, d):
        """The loss of each difference and its derivative."""
        if self.params.loc_loss_type == "L2":
            return d * d / 2, d
        return np.where(np.abs(d) < 1, d * d / 2, np.abs(d) - 0.5), np.clip(d, -1, 1)

    def _loc_loss(self, truth):
        if not self.matches:
            return 0.0, np.zeros((0, 4))
        d = np.stack([self._difference(i, j, place, truth[i][1][one]) for i, j, place, one in self.matches])
        loss, slope = self._coordinate_losses(d)
        return loss.sum(), slope

    def _conf_loss(self, truth, picked):
        """The loss of the scores, and their gradients (N, P, C)."""
        p, n = self.params, len(self.scores)
        logistic = p.conf_loss_type == "LOGISTIC"
        counts = np.full((n, self.priors), not self.mining)
        label = np.full((n, self.priors), p.background_label_id)
        flags = np.full((n, self.priors, p.num_classes), float(p.background_label_id))
        for i, j, _, one in self.matches:
            counts[i, j] = True
            label[i, j] = p.background_label_id + 1 if p.map_object_to_agnostic else truth[i][0][one]
            if self.mining:
                flags[i, j, label[i, j]] = 1
            else:  # as in the original: rows of all pictures lie P apart and not P · C
                flags.reshape(-1)[i * self.priors + j * p.num_classes + label[i, j]] = 1
        for i, (_, negatives) in enumerate(picked):
            counts[i, negatives] = True
            flags[i, negatives, p.background_label_id] = 1
        if logistic:
            loss, slope = _cross_entropy(self.scores, flags)
            return (loss * counts[..., None]).sum(), slope * counts[..., None]
        shifted = np.exp(self.scores - self.scores.max(axis=2, keepdims=True))
        share = shifted / shifted.sum(axis=2, keepdims=True)
        of = np.take_along_axis(share, label[..., None], axis=2)[..., 0]
        slope = share - (np.arange(p.num_classes) == label[..., None])
        return -(np.log(np.maximum(of, SMALLEST)) * counts).sum(), slope * counts[..., None]

    def backward(self, top, propagate_down, bottom):
        p, scale = self.params, float(top[0].diff) / self.divisor
        if propagate_down[0]:
            dloc = bottom[0].diff.reshape(self.code.shape)
            dloc.fill(0)
            for (i, j, place, _), slope in zip(self.matches, self.loc_gradient):
                dloc[i, j, place] = slope * (scale * p.loc_weight)
        if propagate_down[1]:
            bottom[1].diff.reshape(self.scores.shape)[...] = self.conf_gradient * scale
        for view, down in zip(bottom[2:], propagate_down[2:]):
            if down:
                view.diff.fill(0)


def _cross_entropy(x: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """max(x, 0) - x t + log(1 + e^-|x|) and its derivative σ(x) - t."""
    small = np.exp(-np.abs(x))
    sigmoid = np.where(x >= 0, 1, small) / (1 + small)
    return np.maximum(x, 0) - x * target + np.log1p(small), sigmoid - target
