"""What a box says about a layer beside its name: "Convolution 3×3 /2 pad 1"; shapes and counts in few characters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from layerforge.netdef.types import Fields, LayerDef

CLIP = 34  # the longest text of a user in a box, in characters


def describe(layer: LayerDef) -> str:
    """The type of a layer with the values that tell it from its neighbours."""
    values = _VALUES.get(layer.type)
    words = values(layer.params) if values else ""
    return clip(f"{layer.type} {words}".rstrip())


def shape_words(shape: Sequence[int]) -> str:
    """(1, 64, 56, 56) as 1×64×56×56."""
    return "×".join(map(str, shape)) if shape else "scalar"


def count_words(count: int) -> str:
    """1234567 as 1.23 M."""
    for size, letter in ((10**9, " G"), (10**6, " M"), (10**4, " K")):
        if count >= size:
            unit = 1000 if letter == " K" else size
            return f"{count / unit:.3g}{letter}" if count / unit < 999.5 else f"{count / unit:.0f}{letter}"
    return f"{count:,}"


def rate_words(layer: LayerDef, blobs: int = 1) -> str:
    """The learning-rate multipliers of a layer: "lr ×1, ×2"."""
    said = [1.0 if spec.lr_mult is None else spec.lr_mult for spec in layer.param]
    said += [1.0] * (blobs - len(said))
    return "lr " + ", ".join(f"×{rate:g}" for rate in said)


def clip(text: str, most: int = CLIP) -> str:
    """The text, its end cut off where it is too long."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _get(params: Fields, message: str, name: str, default: Any = None) -> Any:
    """A field as plain Python values."""
    held = params.get(message)
    if held is None or not isinstance(held.value, Mapping) or name not in held.value:
        return default
    value = held.value[name].value
    return [each.value for each in value] if isinstance(value, tuple) else value


def _sizes(params: Fields, message: str, name: str) -> list[Any]:
    """kernel_size: 3 → [3, 3]; kernel_h, kernel_w → [h, w]; several → as they are."""
    short = name.replace("kernel_size", "kernel")
    pair = [_get(params, message, f"{short}_{side}") for side in "hw"]
    if any(each is not None for each in pair):
        return [0 if each is None else each for each in pair]
    value = _get(params, message, name)
    several = value if isinstance(value, list) else [] if value is None else [value]
    return several * 2 if len(several) == 1 else several


def _window(params: Fields, message: str) -> str:
    kernel, stride = _sizes(params, message, "kernel_size"), _sizes(params, message, "stride")
    pad, dilation = _sizes(params, message, "pad"), _sizes(params, message, "dilation")
    words = ["×".join(map(str, kernel))] if kernel else []
    if any(s != 1 for s in stride):
        words.append("/" + _alike(stride))
    if any(pad):
        words.append("pad " + _alike(pad))
    if any(d != 1 for d in dilation):
        words.append("dilation " + _alike(dilation))
    return " ".join(words)


def _alike(values: Sequence[Any]) -> str:
    return str(values[0]) if len(set(values)) == 1 else "×".join(map(str, values))


def _convolution(params: Fields) -> str:
    group = _get(params, "convolution_param", "group", 1)
    return _window(params, "convolution_param") + (f" group {group}" if group != 1 else "")


def _pooling(params: Fields) -> str:
    whole = _get(params, "pooling_param", "global_pooling", False)
    return f"{_get(params, 'pooling_param', 'pool', 'MAX')} {'global' if whole else _window(params, 'pooling_param')}"


def _field(message: str, name: str, default: Any = "", words: str = "{}") -> Callable[[Fields], str]:
    def show(params: Fields) -> str:
        value = _get(params, message, name, default)
        values = value if isinstance(value, list) else [value]
        said = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
        return words.format(said) if said else ""

    return show


def _python(params: Fields) -> str:
    return f"{_get(params, 'python_param', 'module', '')}.{_get(params, 'python_param', 'layer', '')}"


_VALUES: dict[str, Callable[[Fields], str]] = {
    "Convolution": _convolution, "Deconvolution": _convolution, "DepthwiseConvolution": _convolution,
    "ConvolutionDepthwise": _convolution, "Im2col": _convolution,
    "Pooling": _pooling,
    "LRN": _field("lrn_param", "local_size", 5, "size {}"),
    "Dropout": _field("dropout_param", "dropout_ratio", 0.5),
    "ReLU": _field("relu_param", "negative_slope"),
    "Eltwise": _field("eltwise_param", "operation", "SUM"),
    "Concat": _field("concat_param", "axis", 1, "axis {}"),
    "Slice": _field("slice_param", "axis", 1, "axis {}"),
    "Reduction": _field("reduction_param", "operation", "SUM"),
    "Permute": _field("permute_param", "order"),
    "ShuffleChannel": _field("shuffle_channel_param", "group", 1, "group {}"),
    "Accuracy": _field("accuracy_param", "top_k", 1, "top {}"),
    "Embed": _field("embed_param", "input_dim", "", "of {}"),
    "Interp": _field("interp_param", "zoom_factor", "", "×{}"),
    "SPP": _field("spp_param", "pyramid_height", "", "{} levels"),
    "Python": _python,
}
