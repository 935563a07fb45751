"""Shapes: joining, cutting, reordering, repeating, padding, picking."""

from __future__ import annotations

import numpy as np

from layerforge.io.onnx.graph import Builder, Call, Refused, converts

_LOWEST = np.iinfo(np.int64).min


@converts("Concat")
def concat(g: Builder, call: Call) -> list[str]:
    return [g.node("Concat", *call.x, axis=call.layer.along)]


@converts("Slice")
def slices(g: Builder, call: Call) -> list[str]:
    if len(call.tops) == 1:
        return [g.node("Identity", call.x[0])]
    p, shape = call.params, call.bottoms[0]
    axis = call.layer.axis(p.slice_dim if p.has("slice_dim") else p.axis, len(shape))
    if g.dynamic and axis == 0:
        raise Refused("it cuts the batch, which has no fixed size")
    sizes = g.ints([top[axis] for top in call.tops])
    return g.several("Split", [call.x[0], sizes], len(call.tops), axis=axis)


@converts("Split")
def split(g: Builder, call: Call) -> list[str]:
    """No node: one value under several names."""
    return [call.x[0]] * len(call.tops)


@converts("Flatten")
def flatten(g: Builder, call: Call) -> list[str]:
    shape, top = call.bottoms[0], call.tops[0]
    if len(shape) >= 2 and len(top) == 2 and top[0] == shape[0]:
        return [g.node("Flatten", call.x[0], axis=1)]
    return [g.reshape(call.x[0], top)]


@converts("Squeeze", "ExpandDimsND")
def same_values(g: Builder, call: Call) -> list[str]:
    return [g.reshape(call.x[0], call.tops[0])]


@converts("Reshape")
def reshape(g: Builder, call: Call) -> list[str]:
    layer = call.layer
    if layer.shares_data:
        return [g.reshape(call.x[0], call.tops[0])]
    apart = g.reshape(call.x[0], layer.blocks)
    return [g.reshape(g.node("Transpose", apart, perm=[0, 1, 4, 2, 5, 3]), call.tops[0])]


@converts("DepthToSpace", "SpaceToDepth")
def reordered(g: Builder, call: Call) -> list[str]:
    apart = g.reshape(call.x[0], call.layer.blocks)
    return [g.reshape(g.node("Transpose", apart, perm=list(call.layer.order)), call.tops[0])]


@converts("Permute")
def permute(g: Builder, call: Call) -> list[str]:
    return [g.node("Transpose", call.x[0], perm=list(call.layer.order))]


@converts("ShuffleChannel")
def shuffle_channel(g: Builder, call: Call) -> list[str]:
    apart = g.reshape(call.x[0], call.layer.groups)  # (N, G, C/G, K)
    return [g.reshape(g.node("Transpose", apart, perm=[0, 2, 1, 3]), call.tops[0])]


@converts("Crop")
def crop(g: Builder, call: Call) -> list[str]:
    cuts = call.layer.window[1:]
    first = len(call.bottoms[0]) - len(cuts)
    axes = range(first, first + len(cuts))
    return [g.slice(call.x[0], [cut.start for cut in cuts], [cut.stop for cut in cuts], list(axes))]


@converts("Reverse")
def reverse(g: Builder, call: Call) -> list[str]:
    axes = [i for i, cut in enumerate(call.layer.backwards) if cut.step == -1]
    count = len(axes)
    return [g.slice(call.x[0], [-1] * count, [_LOWEST] * count, axes, [-1] * count) if count else call.x[0]]


@converts("ReverseSequence")
def reverse_sequence(g: Builder, call: Call) -> list[str]:
    p = call.params
    if {p.seq_axis, p.batch_axis} != {0, 1}:
        raise Refused(f"seq_axis: {p.seq_axis} and batch_axis: {p.batch_axis} are not 0 and 1")
    lengths = g.whole(g.reshape(call.x[1], (call.bottoms[0][p.batch_axis],)))
    return [g.node("ReverseSequence", call.x[0], lengths, time_axis=p.seq_axis, batch_axis=p.batch_axis)]


@converts("Piece")
def piece(g: Builder, call: Call) -> list[str]:
    cuts = call.layer.piece
    return [g.slice(call.x[0], [c.start for c in cuts], [c.stop for c in cuts], list(range(len(cuts))))]


@converts("StridedSlice")
def strided_slice(g: Builder, call: Call) -> list[str]:
    """Slice, then the shape in which axes are new or gone."""
    shape, entries = call.bottoms[0], [e for e in call.layer.index if e is not None]
    at = entries.index(Ellipsis)
    entries[at : at + 1] = [slice(None)] * (len(shape) - len(entries) + 1)
    ranges = []
    for entry, size in zip(entries, shape):
        place = entry if isinstance(entry, slice) else slice(entry % size, entry % size + 1)
        ranges.append(place.indices(size))
    ends = [_LOWEST if step < 0 and end < 0 else end for _, end, step in ranges]
    cut = g.slice(call.x[0], [r[0] for r in ranges], ends, list(range(len(shape))), [r[2] for r in ranges])
    return [g.reshape(cut, call.tops[0])]


@converts("Unstack")
def unstack(g: Builder, call: Call) -> list[str]:
    axis = call.layer.axis(call.params.axis, len(call.bottoms[0]))
    return [g.node("Gather", call.x[0], g.const(i, np.int64), axis=axis) for i in range(len(call.tops))]


@converts("Stack")
def stack(g: Builder, call: Call) -> list[str]:
    axis = call.layer.axis(call.params.axis, len(call.bottoms[0]), extra=1)
    return [g.node("Concat", *(g.unsqueeze(x, [axis]) for x in call.x), axis=axis)]


@converts("Tile")
def tile(g: Builder, call: Call) -> list[str]:
    rank = len(call.bottoms[0])
    axis = call.layer.axis(call.params.axis, rank)
    return [g.node("Tile", call.x[0], g.ints([call.params.tiles if i == axis else 1 for i in range(rank)]))]


@converts("TileND")
def tile_nd(g: Builder, call: Call) -> list[str]:
    return [g.node("Tile", call.x[0], g.ints(call.params.multiples))]


@converts("BroadcastTo")
def broadcast_to(g: Builder, call: Call) -> list[str]:
    if g.dynamic:
        raise Refused("it needs a batch of fixed size")
    return [g.node("Expand", call.x[0], g.ints(call.tops[0]))]


@converts("Pad", "MirrorPad")
def pad(g: Builder, call: Call) -> list[str]:
    p = call.params
    mode = getattr(p, "mode", "CONSTANT")
    if mode == "SYMMETRIC":
        raise Refused("mode: SYMMETRIC has no counterpart")
    return [g.pad(call.x[0], p.paddings[::2], p.paddings[1::2], p.constant_values, mode.lower())]


@converts("SpaceToBatchND")
def space_to_batch(g: Builder, call: Call) -> list[str]:
    layer, paddings, shape = call.layer, call.params.paddings, call.bottoms[0]
    behind = [0] * (len(shape) - 1 - len(paddings) // 2)
    padded = g.pad(call.x[0], [0, *paddings[::2], *behind], [0, *paddings[1::2], *behind])
    return [g.reshape(g.node("Transpose", g.reshape(padded, layer.parts), perm=list(layer.order)), call.tops[0])]


@converts("BatchToSpaceND")
def batch_to_space(g: Builder, call: Call) -> list[str]:
    layer = call.layer
    if g.dynamic:
        raise Refused("it needs a batch of fixed size")
    apart = g.reshape(call.x[0], layer.apart)
    whole = g.node("Transpose", apart, perm=[int(i) for i in np.argsort(layer.order)])
    cuts = layer.inside[1:]
    space = g.reshape(whole, (*layer.space.shape[: len(cuts) + 1], *call.bottoms[0][len(cuts) + 1 :]))
    return [g.slice(space, [c.start for c in cuts], [c.stop for c in cuts], list(range(1, len(cuts) + 1)))]


# --- picking


@converts("BatchReindex")
def batch_reindex(g: Builder, call: Call) -> list[str]:
    return [g.node("Gather", call.x[0], g.whole(call.x[1]), axis=0)]


@converts("Filter")
def select(g: Builder, call: Call) -> list[str]:
    """Compress, whose rows depend on values."""
    flat = g.node("Reshape", call.x[-1], g.ints([-1]))
    flags = g.node("Not", g.node("Equal", flat, g.const(0.0)))
    return [g.node("Compress", x, flags, axis=0) for x in call.x[:-1]]


@converts("Gather")
def gather(g: Builder, call: Call) -> list[str]:
    p = call.params
    places = g.const(np.reshape(p.indices, p.shape), np.int64)
    return [g.node("Gather", call.x[0], places, axis=call.layer.axis(p.axis, len(call.bottoms[0])))]


@converts("GatherV2")
def gather_v2(g: Builder, call: Call) -> list[str]:
    axis = call.layer.axis(call.params.axis, len(call.bottoms[0]))
    return [g.node("Gather", call.x[0], g.whole(call.x[1]), axis=axis)]


@converts("OneHot")
def one_hot(g: Builder, call: Call) -> list[str]:
    """Compared with every place, so that values beyond the axis give off_value only."""
    p, rank = call.params, len(call.bottoms[0])
    axis = call.layer.axis(p.axis, rank, extra=1)
    places = g.const(np.arange(p.depth).reshape(-1, *(1,) * (rank - axis)), np.int64)
    hit = g.real(g.node("Equal", g.unsqueeze(g.whole(call.x[0]), [axis]), places))
    return [g.scaled(hit, p.on_value - p.off_value, p.off_value)]
