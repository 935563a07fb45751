"""What can be said about a filtered definition before any layer is made: every bottom has one source above it."""

from __future__ import annotations

from layerforge.core.errors import NetError, did_you_mean
from layerforge.netdef.types import LayerDef, NetDef


def check(definition: NetDef) -> NetDef:
    """Returns the definition if it is sound.

    Raises NetError: no layers, an unknown bottom (with the nearest name, or the layer below that makes it), a blob with
    two sources, a blob twice in one layer's tops, other numbers of propagate_down entries than there are bottoms.
    """
    if not definition.layers:
        raise NetError(
            f"net {definition.name!r} has no layers in the {definition.state.phase.name} phase",
            where=definition.where,
            hint="is this the file that was meant, and do include and exclude leave something for this phase, level "
            "and stages?",
        )
    made_by: dict[str, LayerDef] = {}
    for index, layer in enumerate(definition.layers):
        for i, bottom in enumerate(layer.bottoms):
            if bottom not in made_by:
                raise _unknown_bottom(definition, index, i, made_by)
        for i, top in enumerate(layer.tops):
            in_place = i < len(layer.bottoms) and layer.bottoms[i] == top
            if top in made_by and not in_place:
                raise NetError(
                    f"{layer}: top {top!r} is made by {made_by[top]} already",
                    where=layer.place(f"top[{i}]"),
                    hint="rename one of them; an in-place layer names the blob as bottom and top at the same position",
                )
            made_by[top] = layer
        count, bottoms = len(layer.propagate_down), len(layer.bottoms)
        if count not in (0, bottoms):
            raise NetError(
                f"{layer}: {count} values of propagate_down for {bottoms} bottoms",
                where=layer.place("propagate_down[0]"),
                hint="give one value per bottom",
            )
    return definition


def _unknown_bottom(definition: NetDef, index: int, i: int, made_by: dict[str, LayerDef]) -> NetError:
    layer = definition.layers[index]
    bottom = layer.bottoms[i]
    where = layer.place(f"bottom[{i}]")
    later = next((below for below in definition.layers[index:] if bottom in below.tops), None)
    if later is layer:
        return NetError(f"{layer}: bottom {bottom!r} is its own top, and nothing above makes it", where=where)
    if later is not None:
        return NetError(
            f"{layer}: bottom {bottom!r} is made only later, by {later} ({later.where})",
            where=where,
            hint="put the layers in the order of the data; a cycle is not possible, see RNN and LSTM for recurrence",
        )
    return NetError(
        f"{layer}: bottom {bottom!r} is made by no layer of this net ({definition.state.phase.name} phase)",
        where=where,
        hint=did_you_mean(bottom, made_by) or "is the layer that makes it excluded in this phase?",
    )
