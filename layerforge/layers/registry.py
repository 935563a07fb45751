"""The registry: every class in this folder that names a `type`. The folder is the list."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterator, Mapping

from layerforge.core.errors import NetError, did_you_mean
from layerforge.layers.base import Layer
from layerforge.netdef.params import Params
from layerforge.netdef.types import LayerDef
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
    """Adds a user's layer class under its `type`; usable as a decorator.

    Raises NetError when the type is taken or missing.
    """
    if not layer.type:
        raise NetError(f"{layer.__name__} names no type", hint=f'write type = "{layer.__name__}" in the class')
    if layer.type in built_in() or _plugins.get(layer.type, layer).__qualname__ != layer.__qualname__:
        raise NetError(f"the layer type {layer.type!r} is taken")
    _plugins[layer.type] = layer
    for name, params in _messages(layer.Params):
        declare(name, params)
    return layer


def _messages(params: type[Params]) -> Iterator[tuple[str, type[Params]]]:
    """The messages that a layer reads, with their classes: the texts of nets may have them from now on."""
    if params.message is not None:
        yield params.message, params
    for spec in params.specs().values():
        if spec.beside:
            yield from _messages(spec.kind)


def layer_types() -> Mapping[str, type[Layer]]:
    """Every usable type, with those of plugins."""
    return {**built_in(), **_plugins}


def layer_class(definition: LayerDef) -> type[Layer]:
    """The class of a layer definition.

    Raises NetError with the nearest known type, or the fork it is known from.
    """
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
