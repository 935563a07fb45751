"""Layers that put blobs together or take them apart along an axis they have: Concat, Slice."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class ConcatParams(Params, message="concat_param"):
    axis: int = field(int, 1, doc="the axis the bottoms are joined along; negative counts from the end")
    concat_dim: int = field(int, 1, at_least=0, doc="the old name of axis")


class Concat(Layer):
    """y = x_0 ⧺ x_1 ⧺ …      along `axis`

    bottom[i]  x_i (*outer, n_i, *inner)
    top[0]     y (*outer, Σ n_i, *inner)
    """

    type, Params = "Concat", ConcatParams
    bottoms = (1, None)

    def setup(self, bottom, top):
        self.require(
            not (self.params.has("axis") and self.params.has("concat_dim")),
            "axis and concat_dim are both set",
            hint="concat_dim is the old name: keep axis",
            field="concat_dim",
        )

    def reshape(self, bottom, top):
        p, shape = self.params, bottom[0].shape
        name = "concat_dim" if p.has("concat_dim") else "axis"
        self.along = along = self.axis(getattr(p, name), len(shape), field=name)
        for i, x in enumerate(bottom):
            same = (
                x.ndim == len(shape) and x.shape[:along] == shape[:along] and x.shape[along + 1 :] == shape[along + 1 :]
            )
            self.require(same, f"bottom[{i}] is {x.shape}, bottom[0] is {shape}: they may differ in axis {along} only")
        sizes = [x.shape[along] for x in bottom]
        self.parts = _parts(sizes, along)
        top[0].reshape(*shape[:along], sum(sizes), *shape[along + 1 :])

    def forward(self, bottom, top):
        y = top[0].data
        for x, part in zip(bottom, self.parts):
            self.xp.copyto(y[part], x.data)

    def backward(self, top, propagate_down, bottom):
        dy = top[0].diff
        for x, part, wanted in zip(bottom, self.parts, propagate_down):
            if wanted:
                self.xp.copyto(x.diff, dy[part])


class SliceParams(Params, message="slice_param"):
    axis: int = field(int, 1, doc="the axis that is cut; negative counts from the end")
    slice_point: tuple[int, ...] = field(
        int, repeated=True, at_least=1, doc="where to cut, rising; without: into equal parts"
    )
    slice_dim: int = field(int, 1, at_least=0, doc="the old name of axis")


class Slice(Layer):
    """y_i = x[:, s_i : s_(i+1)]      along `axis`

    bottom[0]  x (*outer, n, *inner)
    top[i]     y_i (*outer, s_(i+1) - s_i, *inner)
    """

    type, Params = "Slice", SliceParams
    tops = (1, None)

    def setup(self, bottom, top):
        p = self.params
        self.require(
            not (p.has("axis") and p.has("slice_dim")),
            "axis and slice_dim are both set",
            hint="slice_dim is the old name: keep axis",
            field="slice_dim",
        )
        cuts = p.slice_point
        self.require(
            not cuts or len(cuts) == len(top) - 1,
            f"{len(cuts)} slice_point for {len(top)} tops, must be {len(top) - 1}",
            field="slice_point",
        )
        self.require(
            all(a < b for a, b in zip(cuts, cuts[1:])), f"slice_point: {list(cuts)}, must rise", field="slice_point"
        )

    def reshape(self, bottom, top):
        p, shape = self.params, bottom[0].shape
        name = "slice_dim" if p.has("slice_dim") else "axis"
        along = self.axis(getattr(p, name), len(shape), field=name)
        size = shape[along]
        if p.slice_point:
            self.require(
                p.slice_point[-1] < size,
                f"slice_point: {p.slice_point[-1]}, but axis {along} of bottom[0] has {size}",
                field="slice_point",
            )
            cuts = [0, *p.slice_point, size]
        else:
            self.require(
                size % len(top) == 0,
                f"axis {along} of bottom[0] has {size}, which {len(top)} tops do not divide",
                hint="add slice_point",
            )
            cuts = [i * size // len(top) for i in range(len(top) + 1)]
        sizes = [b - a for a, b in zip(cuts, cuts[1:])]
        self.parts = _parts(sizes, along)
        for y, n in zip(top, sizes):
            y.reshape(*shape[:along], n, *shape[along + 1 :])

    def forward(self, bottom, top):
        x = bottom[0].data
        for y, part in zip(top, self.parts):
            self.xp.copyto(y.data, x[part])

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        dx = bottom[0].diff
        for y, part in zip(top, self.parts):
            self.xp.copyto(dx[part], y.diff)


def _parts(sizes: list[int], along: int) -> list[tuple[slice, ...]]:
    """Neighbouring index ranges of these sizes on one axis."""
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [(slice(None),) * along + (slice(end - n, end),) for n, end in zip(sizes, ends)]
