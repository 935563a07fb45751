"""Default boxes of single-shot detectors."""

from __future__ import annotations

import math

import numpy as np

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class PriorBoxParams(Params, message="prior_box_param"):
    min_size: tuple[float, ...] = field(float, repeated=True, above=0, doc="sides of square boxes, in pixels")
    max_size: tuple[float, ...] = field(float, repeated=True, above=0, doc="for each min_size: a square of √(min max)")
    aspect_ratio: tuple[float, ...] = field(float, repeated=True, above=0, doc="width ÷ height of further boxes")
    flip: bool = field(bool, True, doc="adds 1 ÷ aspect_ratio")
    clip: bool = field(bool, False, doc="cuts boxes at the edges of the picture")
    variance: tuple[float, ...] = field(float, repeated=True, above=0, doc="one for all coordinates, or four; 0.1")
    img_size: int = field(int, at_least=1, doc="the picture's height and width; else those of bottom[1]")
    img_h: int = field(int, at_least=1, doc="the picture's height, with img_w")
    img_w: int = field(int, at_least=1, doc="the picture's width, with img_h")
    step: float = field(float, above=0, doc="from cell to cell, in steps of the picture; picture ÷ map without")
    step_h: float = field(float, above=0, doc="from cell to cell downwards, with step_w")
    step_w: float = field(float, above=0, doc="from cell to cell across, with step_h")
    offset: float = field(float, 0.5, doc="where in its cell a box has its centre")
    box_width: tuple[float, ...] = field(float, repeated=True, above=0, doc="widths, in place of sizes and ratios")
    box_height: tuple[float, ...] = field(float, repeated=True, above=0, doc="heights, one for each box_width")
    tf: bool = field(bool, False, doc="√(min · max) comes last, and a square of 60 is 0.05 smaller on each side")
    yx_order: bool = field(bool, False, doc="coordinates are ymin, xmin, ymax, xmax")


class PriorBox(Layer):
    """y[0, 0] = xmin, ymin, xmax, ymax of each row, column and box, as shares of the picture;  y[0, 1] = variances

    bottom[0]  the map (N, C, H, W)
    bottom[1]  the picture (N, C, height, width)
    top[0]     y (1, 2, H · W · boxes · 4)

    The boxes of a cell are centred at (column + offset, row + offset) · step. For each min_size m, cut to a whole
    number: m × m, then √(m · max_size) squared, then m √r × m/√r for the ratios r, each followed by 1/r; repeated
    ratios and 1 count once. Source: Liu et al. 2016 (SSD), prior_box_layer; the last four fields: synopsys-caffe
    """

    type, Params = "PriorBox", PriorBoxParams
    bottoms, no_gradient = 2, (0, 1)
    arrays, captured, uncaptured_reason = "host", False, "copies its boxes from the host"

    def setup(self, bottom, top):
        p = self.params
        self.require(bool(p.min_size) or bool(p.box_width), "min_size is missing", hint="give min_size, a box's side")
        self.require(len(p.max_size) in (0, len(p.min_size)),
                     f"{len(p.max_size)} max_size for {len(p.min_size)} min_size",
                     hint="give one max_size for each min_size", field="max_size")
        self.require(all(a < b for a, b in zip(p.min_size, p.max_size)), "max_size must be larger than min_size",
                     field="max_size")
        self.require(len(p.box_width) == len(p.box_height),
                     f"{len(p.box_width)} box_width, {len(p.box_height)} box_height",
                     hint="each box has both", field="box_width")
        self.require(len(p.variance) in (0, 1, 4), f"{len(p.variance)} variances", hint="give one, or four",
                     field="variance")
        self.boxes = list(zip(p.box_width, p.box_height))
        if not self.boxes:
            self.boxes = [box for k in range(len(p.min_size)) for box in self._sizes(k)]

    def _sizes(self, k):
        """(width, height) of the boxes that belong to min_size k."""
        p, side = self.params, float(int(self.params.min_size[k]))
        ratios = [1.0]
        for ratio in p.aspect_ratio:
            if all(abs(ratio - known) >= 1e-6 for known in ratios):
                ratios += [ratio, 1 / ratio] if p.flip else [ratio]
        first, larger = [(side, side)], []
        if p.max_size:
            larger = [(math.sqrt(side * int(p.max_size[k])),) * 2]
        rest = [(side * math.sqrt(r), side / math.sqrt(r)) for r in ratios if abs(r - 1) >= 1e-6]
        return first + rest + larger if p.tf else first + larger + rest

    def _pair(self, name, names, default):
        """(down, across) from one field for both, two fields, or the default."""
        p, given = self.params, [each for each in names if self.params.has(each)]
        self.require(not (given and p.has(name)), f"{name} and {' and '.join(given)} are both given",
                     hint="keep one of the two forms", field=name)
        self.require(len(given) in (0, 2), f"{' '.join(given)} is given without its partner",
                     hint=f"give {names[0]} and {names[1]}")
        if given:
            return tuple(getattr(p, each) for each in names)
        return (getattr(p, name),) * 2 if p.has(name) else default

    def reshape(self, bottom, top):
        for i, view in enumerate(bottom):
            self.require(len(view.shape) == 4, f"bottom[{i}] has the shape {view.shape}, it needs 4 axes (N, C, H, W)")
        cells = bottom[0].shape[2:]
        self.require(min(cells) >= 1, f"bottom[0] has an empty map {cells}")
        picture = self._pair("img_size", ("img_h", "img_w"), bottom[1].shape[2:])
        self.require(min(picture) >= 1, f"bottom[1] is an empty picture {picture}")
        step = self._pair("step", ("step_h", "step_w"), tuple(n / c for n, c in zip(picture, cells)))
        self.values = self._place(cells, picture, step)
        top[0].reshape(1, 2, self.values.shape[1])

    def _place(self, cells, picture, step):
        """(2, H · W · boxes · 4): coordinates and variances."""
        p, sizes = self.params, np.array(self.boxes)  # (boxes, 2): width, height
        down, across = ((np.arange(n) + p.offset) * s for n, s in zip(cells, step))
        centre = np.stack(np.broadcast_arrays(across, down[:, None]), axis=-1)[:, :, None]  # (H, W, 1, 2): x, y
        shares = np.array(picture[::-1], float)
        shrink = np.where((sizes == 60).all(axis=1) & p.tf & (not p.box_width), 0.05, 0.0)[:, None]
        low, high = (centre - sizes / 2) / shares + shrink, (centre + sizes / 2) / shares - shrink
        if p.yx_order:
            low, high = low[..., ::-1], high[..., ::-1]
        boxes = np.concatenate([low, high], axis=-1).reshape(-1)
        boxes = np.clip(boxes, 0, 1) if p.clip else boxes
        return np.stack([boxes, np.resize(p.variance or (0.1,), boxes.shape)])

    def forward(self, bottom, top):
        top[0].data[0] = self.values

    def backward(self, top, propagate_down, bottom):
        for view, down in zip(bottom, propagate_down):
            if down:
                view.diff.fill(0)
