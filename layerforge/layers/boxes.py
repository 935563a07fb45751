"""Boxes of single-shot detectors: codes relative to priors, overlaps, matching, thinning out."""

from __future__ import annotations

from typing import Any

import numpy as np

from layerforge.netdef.params import Params, field

CODES = ("CORNER", "CENTER_SIZE", "CORNER_SIZE")


def priors_of(layer: Any, bottom: Any) -> tuple[int, int]:
    """How many priors there are, and how many boxes each has: one for all classes or one for each.

    bottom[0], bottom[1]  codes (N, P · boxes · 4) and scores (N, P · classes);  bottom[2]  priors (1, 2, 4 P)
    """
    p, n, shape = layer.params, bottom[0].shape[0], bottom[2].shape
    layer.require(len(shape) == 3 and shape[:2] == (1, 2) and shape[2] % 4 == 0,
                  f"bottom[2] has the shape {shape}, expected (1, 2, 4 · priors)",
                  hint="Concat PriorBoxes on axis 2")
    priors, places = shape[2] // 4, 1 if p.share_location else p.num_classes
    for i, each in enumerate((4 * places, p.num_classes)):
        have = (bottom[i].shape[0], bottom[i].count(1))
        layer.require(have == (n, priors * each),
                      f"bottom[{i}] has {have[1]} numbers for each of {have[0]} pictures, "
                      f"expected {priors * each} for {n}", hint="priors × classes, or × 4")
    return priors, places


def decode(priors: np.ndarray, variances: np.ndarray | float, code: np.ndarray, code_type: str) -> np.ndarray:
    """Boxes (..., P, 4) from their codes relative to the priors (P, 4).

    CORNER       prior + v · code
    CORNER_SIZE  prior + v · code · size of the prior
    CENTER_SIZE  centre + v · code · size,  size · e^(v · code)
    """
    code = code * variances
    if code_type == "CORNER":
        return priors + code
    size = priors[:, 2:] - priors[:, :2]
    if code_type == "CORNER_SIZE":
        return priors + code * np.tile(size, 2)
    centre = (priors[:, :2] + priors[:, 2:]) / 2 + code[..., :2] * size
    half = np.exp(code[..., 2:]) * size / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def encode(priors: np.ndarray, variances: np.ndarray | float, boxes: np.ndarray, code_type: str) -> np.ndarray:
    """The codes (M, 4) of boxes (M, 4) relative to their priors (M, 4): what `decode` undoes."""
    if code_type == "CORNER":
        return (boxes - priors) / variances
    size = priors[:, 2:] - priors[:, :2]
    if code_type == "CORNER_SIZE":
        return (boxes - priors) / np.tile(size, 2) / variances
    middle, whole = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    centre = (middle - (priors[:, :2] + priors[:, 2:]) / 2) / size
    return np.concatenate([centre, np.log(whole / size)], axis=1) / variances


def area(boxes: np.ndarray) -> np.ndarray:
    """The areas of boxes (..., 4); 0 where the ends are exchanged."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return np.where((sides < 0).any(axis=-1), 0, sides.prod(axis=-1))


def overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of one box (4,) with others (M, 4); 0 where they do not meet."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = np.where((sides > 0).all(axis=1), sides[:, 0] * sides[:, 1], 0)
    union = area(box) + area(others) - common
    return np.divide(common, union, out=np.zeros_like(union), where=union > 0)


def suppress(
    boxes: np.ndarray, scores: np.ndarray, *, score: float, threshold: float, top_k: int, eta: float
) -> list[int]:
    """Indices of the boxes that stay, by falling score, of equal scores the lower index first.

    Only scores above `score` count, at most top_k of them (-1: all); a box goes if it overlaps a better one by more
    than the threshold, which shrinks by eta after each box that stays, while it is above ½.
    """
    order = np.argsort(-scores, kind="stable")
    order = order[: int((scores > score).sum())][: top_k if top_k > -1 else None]
    kept: list[int] = []
    chosen = np.empty((len(order), 4))
    for index in order:
        if kept and (overlaps(boxes[index], chosen[: len(kept)]) > threshold).any():
            continue
        chosen[len(kept)] = boxes[index]
        kept.append(int(index))
        if eta < 1 and threshold > 0.5:
            threshold *= eta
    return kept


def match(
    boxes: np.ndarray, truth: np.ndarray, *, per_prediction: bool, threshold: float, inside_only: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Which true box (G, 4) each of the boxes (P, 4) stands for, and how far it overlaps: (index, overlap), (P,) each.

    First every true box takes the best box that is free, the largest overlap first; with per_prediction each box left
    then takes the true box it overlaps most, if by `threshold` or more. Ties: the lower box, then the lower true box.
    index is -1 for none, and -2 with inside_only for boxes that reach beyond the picture.
    """
    common = np.stack([overlaps(one, boxes) for one in truth], axis=1)  # (P, G)
    index = np.full(len(boxes), -1)
    if inside_only:
        index[((boxes < 0) | (boxes > 1)).any(axis=1)] = -2
        common[index == -2] = 0
    common[common <= 1e-6] = 0
    overlap = common.max(axis=1)
    free = np.where((index == -1)[:, None], common, 0)
    for _ in range(len(truth)):
        box, one = np.unravel_index(free.argmax(), free.shape)
        if free[box, one] == 0:
            break
        index[box], overlap[box] = one, common[box, one]
        free[box], free[:, one] = 0, 0
    if per_prediction:
        best = common.argmax(axis=1)
        late = (index == -1) & (overlap >= threshold) & (overlap > 0)
        index[late] = best[late]
    return index, overlap


class NmsParams(Params):
    nms_threshold: float = field(float, 0.3, at_least=0, doc="the overlap from which the worse of two boxes goes")
    top_k: int = field(int, doc="so many boxes of a class are looked at; all without")
    eta: float = field(float, 1.0, above=0, at_most=1, doc="the threshold shrinks by this after each box kept")
