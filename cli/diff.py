"""`layerforge diff`: what differs between two nets, or between two weight files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from layerforge.cli.contents import by
from layerforge.cli.flags import Command, Flag, UsageError
from layerforge.cli.report import Table
from layerforge.netdef.types import Fields, LayerDef, NetDef
from layerforge.schema.weights import LayerWeights

DIFFERENT = 3
"""The exit code when something differs."""


def run(args: SimpleNamespace) -> int:
    """Prints the differences; the exit code tells whether there are any."""
    from layerforge.io.kinds import KINDS, kind_of

    kinds = kind_of(args.a), kind_of(args.b)
    if kinds == ("net", "net"):
        from layerforge.schema.read import read_net

        lines = list(net_differences(read_net(args.a), read_net(args.b)))
        print("\n".join(lines) or "the nets are the same, layer by layer")
        return DIFFERENT if lines else 0
    if kinds == ("weights", "weights"):
        from layerforge.io.weights import read_weights

        if args.tolerance < 0:
            raise UsageError("--tolerance is not negative")
        rows = weight_rows(read_weights(args.a), read_weights(args.b))
        differ = [row for row in rows if row[-1] not in ("0", "-") and not _within(row[-1], args.tolerance)]
        print(Table(f"a = {args.a}, b = {args.b}", ("layer", "blob", "shape", "greatest |a|", "greatest |a - b|"),
                    rows))
        print(f"\n{len(differ)} of {len(rows)} blobs differ" + (f" by more than {args.tolerance:g}" if args.tolerance
                                                                 else ""))
        return DIFFERENT if differ else 0
    raise UsageError(f"two nets or two weight files are compared; {args.a} is {KINDS[kinds[0]]}, {args.b} "
                     f"{KINDS[kinds[1]]}")


def net_differences(a: NetDef, b: NetDef) -> Iterator[str]:
    """Lines: `- ` before a layer that only a has, `+ ` that only b has, `~ ` that both have, with the fields."""
    if a.name != b.name:
        yield f"~ name: {a.name!r} → {b.name!r}"
    if a.force_backward != b.force_backward:
        yield f"~ force_backward: {a.force_backward} → {b.force_backward}"
    first, second = _by_name(a.layers), _by_name(b.layers)
    shared = [name for name in first if name in second]
    places = {name: i for i, name in enumerate(name for name in second if name in first)}
    for i, (name, layer) in enumerate(first.items()):
        if name not in second:
            yield f"- {layer.where}: {layer}"
    for i, name in enumerate(shared):
        changes = list(layer_differences(first[name], second[name]))
        if places[name] != i:
            changes.append("stands in another order")
        if changes:
            yield f"~ {first[name]}"
            yield from (f"    {change}" for change in changes)
    for name, layer in second.items():
        if name not in first:
            yield f"+ {layer.where}: {layer}"


def _by_name(layers: Sequence[LayerDef]) -> dict[tuple[str, int], LayerDef]:
    """Names may repeat: (name, how often it came before) → layer."""
    made: dict[tuple[str, int], LayerDef] = {}
    for layer in layers:
        made[layer.name, sum(name == layer.name for name, _ in made)] = layer
    return made


def layer_differences(a: LayerDef, b: LayerDef) -> Iterator[str]:
    """`field: old → new` for every field that differs."""
    from layerforge.schema.convert import layer_fields

    first, second = (dict(_flat(layer_fields(layer))) for layer in (a, b))
    for name in dict.fromkeys((*first, *second)):
        old, new = first.get(name, "not set"), second.get(name, "not set")
        if old != new:
            yield f"{name}: {old} → {new}"


def _flat(fields: Fields, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted name, value as text) of every scalar, lists of scalars as one."""
    for name, field in fields.items():
        values = field.value if isinstance(field.value, tuple) else (field,)
        if any(isinstance(each.value, Mapping) for each in values):
            for i, each in enumerate(values):
                index = f"[{i}]" if isinstance(field.value, tuple) else ""
                yield from _flat(each.value, f"{prefix}{name}{index}.")
        else:
            yield prefix + name, ", ".join(str(each.value) for each in values)


def weight_rows(a: Sequence[LayerWeights], b: Sequence[LayerWeights]) -> list[tuple[str, ...]]:
    """A row per blob of either file: what differs, in the last column."""
    rows: list[tuple[str, ...]] = []
    second = {layer.name: layer for layer in b}
    for layer in a:
        other = second.pop(layer.name, None)
        blobs: list[Any] = list(other.blobs) if other else []
        for i in range(max(len(layer.blobs), len(blobs))):
            x = layer.blobs[i] if i < len(layer.blobs) else None
            rows.append((layer.name, str(i), *_blob_difference(x, blobs[i] if i < len(blobs) else None)))
    for layer in second.values():
        rows += [(layer.name, str(i), by(() if y is None else y.shape), "-", "only in b")
                 for i, y in enumerate(layer.blobs)]
    return rows


def _blob_difference(x: np.ndarray | None, y: np.ndarray | None) -> tuple[str, str, str]:
    """(shape, greatest |x|, greatest |x - y| or what is wrong)."""
    if x is None or y is None:
        held = x if x is not None else y
        shape = "shared" if held is None else by(held.shape)
        return shape, "-", "-" if held is None else "only in a" if y is None else "only in b"
    x_shape, y_shape = (_plain(each.shape) for each in (x, y))
    if x_shape != y_shape:
        return by(x.shape), f"{np.abs(x).max(initial=0):.4g}", f"b has {by(y.shape)}"
    with np.errstate(all="ignore"):
        p, q = x.reshape(-1).astype(np.float64), y.reshape(-1).astype(np.float64)
        same = (p == q) | (np.isnan(p) & np.isnan(q))
        gap = np.abs(p - q, where=~same, out=np.zeros_like(p)).max(initial=0)
    return by(x.shape), f"{np.abs(p).max(initial=0):.4g}", f"{gap:.4g}"


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without leading ones, which old files put before a shape."""
    at = next((i for i, n in enumerate(shape) if n != 1), len(shape))
    return shape[at:]


def _within(text: str, tolerance: float) -> bool:
    try:
        return float(text) <= tolerance
    except ValueError:
        return False


command = Command(
    "diff", "what differs between two nets, or between two weight files", run,
    (Flag("tolerance", float, 0.0, "of weights: smaller differences do not count", "X"),),
    arguments=("A", "B"),
    details="Nets are compared after upgrading, layer by layer, by name. The exit code is 3 when something differs.",
    examples=(("layerforge diff old.prototxt new.prototxt", "layers and fields that changed"),
              ("layerforge diff before.caffemodel after.caffemodel.h5", "the greatest difference of every blob")),
)
