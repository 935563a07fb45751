"""`layerforge layers`: the layer types, and the reference page of one."""

from __future__ import annotations

from types import SimpleNamespace

from layerforge.cli.flags import Command
from layerforge.core.errors import NetError, did_you_mean
from layerforge.layers.registry import KNOWN_FROM_FORKS, layer_types


def run(args: SimpleNamespace) -> int:
    """Prints the list, or one page.

    Raises NetError for a type that does not exist.
    """
    types = layer_types()
    if args.name is not None and args.name not in types:
        fork = KNOWN_FROM_FORKS.get(args.name)
        if fork:
            raise NetError(f"the layer type {args.name!r} is known from {fork}, not implemented")
        raise NetError(f"there is no layer type {args.name!r}",
                       hint=did_you_mean(args.name, types) or "`layerforge layers` lists the types")
    from layerforge.layers import reference

    print(reference.table() if args.name is None else reference.page(args.name))
    return 0


command = Command(
    "layers", "lists the layer types, or explains one", run, arguments=("[NAME]",),
    examples=(("layerforge layers", "all types, a line each"),
              ("layerforge layers Convolution", "formula, shapes and parameters of Convolution")),
)
