"""What losses and metrics share: labels as whole numbers, the divisor of a loss."""

from __future__ import annotations

import numpy as np

from layerforge.core.blob import View
from layerforge.core.storage import Array
from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class LossParams(Params, message="loss_param"):
    """What losses have in common."""

    ignore_label: int | None = field(int, doc="items with this label count neither in the loss nor in the gradient")
    normalization: str = field(
        str,
        "VALID",
        choices=("FULL", "VALID", "BATCH_SIZE", "NONE"),
        doc="what the loss is divided by: all items, those not ignored, the batch size, 1",
    )
    normalize: bool = field(bool, False, doc="the old form of normalization: true is VALID, false is BATCH_SIZE")
    weight_by_label_freqs: bool = field(bool, False, doc="class_weighting counts")
    class_weighting: tuple[float, ...] = field(float, repeated=True, at_least=0, doc="a weight per class")

    def mode(self, default: str = "VALID") -> str:
        """The normalization that holds, the old field understood."""
        if self.has("normalization"):
            return self.normalization
        if self.has("normalize"):
            return "VALID" if self.normalize else "BATCH_SIZE"
        return default


class Labels:
    """The labels of (outer, inner) items as checked int32 indexes. Make one in a layer's reshape."""

    def __init__(self, layer: Layer, bottom: View, classes: int, outer: int, inner: int, *ignore: int | None) -> None:
        self.layer, self.bottom, self.classes = layer, bottom, classes
        self.ignore, *self.more_ignored = ignore or (None,)
        layer.require(
            bottom.count() == outer * inner,
            f"bottom[1] has {bottom.count()} labels for {outer * inner} predictions",
            hint="one label per place outside the axis of the classes: N·H·W labels for scores of shape (N, C, H, W)",
        )
        self.shape = (outer, inner)
        self.buffer = layer.kept(self.shape, np.int32)
        if self.more_ignored:
            self.whole, self.flags = layer.kept(self.shape), layer.kept(self.shape, bool)

    def read(self) -> Array:
        """The indexes (outer, inner), SKIPPED where ignored.

        Raises LayerError naming the first label that is no class.
        """
        values, index = self.bottom.data.reshape(self.shape), self.buffer.data
        if self.more_ignored:
            values = self.merge_ignored(values)
        bad = self.layer.ops.to_index(values, self.classes, out=index, ignore=self.ignore)
        if bad is not None:
            got = float(values.reshape(-1)[bad])
            self.layer.require(
                False,
                f"label {got:g} at position {bad}, but there are {self.classes} classes (0 to {self.classes - 1})",
                hint="correct the labels, the number of outputs below, or set ignore_label",
            )
        return index

    def merge_ignored(self, values: Array) -> Array:
        """The labels cut to whole numbers, the first ignored one in place of the others."""
        xp, whole = self.layer.xp, self.whole.data
        xp.trunc(values, out=whole)
        for label in self.more_ignored:
            xp.copyto(whole, self.ignore, where=xp.equal(whole, label, out=self.flags.data))
        return whole

    @property
    def index(self) -> Array:
        """What `read` gave last."""
        return self.buffer.data


class Divisor:
    """max(1, number of items that count) as a scalar on the device. Make one in a layer's reshape."""

    def __init__(self, layer: Layer, mode: str, batch: int, items: int, ignoring: bool) -> None:
        self.xp, self.counted = layer.xp, mode == "VALID" and ignoring
        self.fixed = max(1, {"FULL": items, "VALID": items, "BATCH_SIZE": batch, "NONE": 1}[mode])
        self.value = layer.kept((), np.float64)
        self.ratio = layer.kept((), layer.dtype)

    def count(self, valid: Array | None) -> Array:
        """Sets the divisor from the flags of the items that count (None: all do)."""
        value = self.value.data
        if self.counted and valid is not None:
            self.xp.sum(valid, dtype=np.float64, out=value)
            self.xp.maximum(value, 1, out=value)
        else:
            value.fill(self.fixed)
        return value

    def scale(self, loss_diff: Array) -> Array:
        """loss_diff / divisor, a scalar on the device."""
        return self.xp.divide(loss_diff, self.value.data, out=self.ratio.data)
