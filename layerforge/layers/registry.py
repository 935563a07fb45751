"""The registry: every class in this folder that names a `type`. The folder is the list."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping
from types import ModuleType

from layerforge.core.errors import NetError, did_you_mean
from layerforge.core.extensions import load_extensions
from layerforge.layers.base import Layer
from layerforge.netdef.params import Params
from layerforge.netdef.types import LayerDef, Where
from layerforge.schema.kinds import declare

_plugins: dict[str, type[Layer]] = {}


@functools.cache
def built_in() -> Mapping[str, type[Layer]]:
    """Type name → class, of the files in this folder. Two classes that claim one name are an error."""
    folder = importlib.import_module("layerforge.layers")

    found: dict[str, type[Layer]] = {}
    for info in pkgutil.iter_modules(folder.__path__):
        module = importlib.import_module(f"{folder.__name__}.{info.name}")
        for member in vars(module).values():
            if (
                isinstance(member, type)
                and issubclass(member, Layer)
                and member.type
                and member.__module__ == module.__name__
            ):
                for name in (member.type, *member.aliases):
                    if name in found:
                        raise NetError(
                            f"two classes claim the layer type {name!r}: {found[name].__module__} and {module.__name__}"
                        )
                    found[name] = member
    return found


def register(layer: type[Layer]) -> type[Layer]:
    """Adds a user's layer class under its `type`; usable as a decorator. A class read again replaces its former self.

    Parameters without the name of a message get one from the type: MyLayer has my_layer_param.

    Raises NetError, with the place of the class, when the type is taken or missing, or the class is no whole layer.
    """
    problem, hint = _problem(layer)
    if problem:
        raise NetError(f"{layer.__name__} {problem}", where=_place(layer), hint=hint)
    if layer.Params.message is None and layer.Params.specs():
        layer.Params.message = snake(layer.type) + "_param"
    _plugins[layer.type] = layer
    for name, params in _messages(layer.Params):
        declare(name, params)
    return layer


def adopt(module: ModuleType) -> None:
    """Registers the layer classes that a module of the user's defines and has not registered itself."""
    for member in list(vars(module).values()):
        own = isinstance(member, type) and issubclass(member, Layer) and member.__module__ == module.__name__
        if own and member.__dict__.get("type") and _plugins.get(member.type) is not member:
            register(member)


def plugins() -> Mapping[str, type[Layer]]:
    """The types that are not built in."""
    return _plugins


def _problem(layer: type[Layer]) -> tuple[str, str | None]:
    """What is wrong with a class, and the cure."""
    if not layer.type:
        return "names no type", f'write type = "{layer.__name__}" in the class'
    known = built_in().get(layer.type) or _plugins.get(layer.type)
    if known is not None and (known.__module__, known.__qualname__) != (layer.__module__, layer.__qualname__):
        return f"claims the layer type {layer.type!r}, which is taken by {known.__module__}", "choose another type"
    if not (isinstance(layer.Params, type) and issubclass(layer.Params, Params)):
        return f"has Params = {layer.Params!r}, which is no class of parameters", "write class MyParams(Params): ..."
    missing = [verb for verb in ("reshape", "forward") if getattr(layer, verb) is getattr(Layer, verb)]
    if missing:
        return f"defines no {' and no '.join(missing)}", "a layer gives its tops shapes and values"
    return "", None


def _place(layer: type[Layer]) -> Where | None:
    """Where the class stands in its file; None for one that was typed in."""
    try:
        return Where(inspect.getsourcefile(layer) or "", inspect.getsourcelines(layer)[1])
    except (OSError, TypeError):
        return None


def snake(name: str) -> str:
    """MyOwnROILayer2 → my_own_roi_layer2"""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _messages(params: type[Params]) -> Iterator[tuple[str, type[Params]]]:
    """The messages that a layer reads, with their classes: the texts of nets may have them from now on."""
    if params.message is not None:
        yield params.message, params
    for spec in params.specs().values():
        if spec.beside:
            yield from _messages(spec.kind)


def layer_types() -> Mapping[str, type[Layer]]:
    """Every usable type, with those of plugins."""
    load_extensions()
    return {**built_in(), **_plugins}


def layer_class(definition: LayerDef) -> type[Layer]:
    """The class of a layer definition.

    Raises NetError with the nearest known type, or the fork it is known from.
    """
    found = built_in().get(definition.type) or _plugins.get(definition.type)
    if found is not None:
        return found
    types = layer_types()
    if definition.type not in types:
        fork = KNOWN_FROM_FORKS.get(definition.type)
        if fork:
            raise NetError(
                f"{definition}: the type is known from {fork}, not implemented", where=definition.place("type")
            )
        raise NetError(
            f"{definition}: there is no layer type {definition.type!r}",
            where=definition.place("type"),
            hint=did_you_mean(definition.type, types) or "`layerforge layers` lists the types",
        )
    return types[definition.type]


KNOWN_FROM_FORKS: dict[str, str] = {
    **dict.fromkeys(("AnnotatedData", "MultiBoxLoss", "PriorBox", "DetectionOutput", "DetectionEvaluate"), "SSD"),
    **dict.fromkeys(("BoxAnnotatorOHEM", "PSROIPooling"), "R-FCN"),
    **dict.fromkeys(("Reorg", "Mish", "RegionLoss", "YoloDetectionOutput"), "the YOLO ports"),
    **dict.fromkeys(("Correlation", "Resample", "FlowWarp", "L1Loss", "ChannelNorm"), "FlowNet2"),
    **dict.fromkeys(("CenterLoss", "FocalLoss", "MarginInnerProduct", "NormalizeL2"), "the face recognition forks"),
    "SegAccuracy": "PSPNet",
    "Permute": "SSD",
    "Normalize": "SSD",
    "SmoothL1Loss": "Fast R-CNN",
    "ROIPooling": "Fast R-CNN",
    "DepthwiseConvolution": "MobileNet",
    "ConvolutionDepthwise": "MobileNet",
    "ReLU6": "MobileNet",
    "ShuffleChannel": "ShuffleNet",
    "Axpy": "SENet",
    "Interp": "PSPNet",
    "BN": "PSPNet",
    "Upsample": "SegNet",
}
"""Types of popular forks; the name is refused as known but missing until a class claims it."""
