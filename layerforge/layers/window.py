"""The fields of a sliding window, and the one place where their forms become a Window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layerforge.core.window import Axes, Window
from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field

KEEP_ONE = "keep one of the two forms"


def _pair(layer: Layer, p: Any, name: str, default: int | None) -> Axes | None:
    """(name_h, name_w) where they are given in place of `name`, else None."""
    name_h, name_w = (f"{name.replace('kernel_size', 'kernel')}_{side}" for side in "hw")
    given = [each for each in (name_h, name_w) if p.has(each)]
    if not given:
        return None
    layer.require(not p.has(name), f"{name} and {given[0]} are both given", hint=KEEP_ONE, field=given[0])
    layer.require(len(given) == 2 or default is not None, f"{given[0]} is given without its partner",
                  hint=f"give both {name_h} and {name_w}", field=given[0])
    first, second = (getattr(p, each) if p.has(each) else default for each in (name_h, name_w))
    return first, second


def _same(window: Window, sizes: Sequence[int]) -> Window:
    """The padding with which a stride of s gives ⌈size / s⌉ outputs, the smaller half first."""
    outs = (-(-n // s) for n, s in zip(sizes, window.stride))
    spans = zip(sizes, outs, window.stride, window.extent)
    whole = [max((o - 1) * s + e - n, 0) for n, o, s, e in spans]
    before = [n // 2 for n in whole]
    behind = [n - p for n, p in zip(whole, before)]
    return Window.make(window.kernel, window.stride, before, window.dilation, behind)


class FourPads(Params):
    """What a fork adds to windows."""

    pad_type: int = field(int, 0, at_least=0, at_most=1, doc="1: pads for ⌈size / stride⌉ positions; 0: as pad says")
    pad_l: int = field(int, 0, at_least=0, doc="zeros left of a plane")
    pad_r: int = field(int, 0, at_least=0, doc="zeros right of a plane")
    pad_t: int = field(int, 0, at_least=0, doc="zeros above a plane")
    pad_b: int = field(int, 0, at_least=0, doc="zeros below a plane")

    def padded(self, layer: Layer, window: Window, sizes: Sequence[int]) -> Window:
        """The window with this padding where it is asked for, else as it is."""
        if self.pad_type == 1:
            return _same(window, sizes)
        four = (self.pad_t, self.pad_l, self.pad_b, self.pad_r)
        if not any(four):
            return window
        layer.require(len(sizes) == 2, f"pad_t, pad_l, pad_b and pad_r are for two spatial axes, here are {len(sizes)}",
                      hint="use pad")
        layer.require(not window.padded, "pad and pad_t, pad_l, pad_b, pad_r are both given", hint=KEEP_ONE)
        return Window.make(window.kernel, window.stride, four[:2], window.dilation, four[2:])


class WindowParams(Params):
    """Any number of spatial axes: each field once for all axes, or once for each; *_h and *_w for two axes."""

    pad: tuple[int, ...] = field(int, repeated=True, at_least=0, doc="zeros on both sides of each spatial axis")
    kernel_size: tuple[int, ...] = field(int, repeated=True, at_least=1, doc="the size of the kernel along each axis")
    stride: tuple[int, ...] = field(int, repeated=True, at_least=1, doc="the step along each spatial axis")
    dilation: tuple[int, ...] = field(int, repeated=True, at_least=1, doc="the step within the kernel along each axis")
    pad_h: int = field(int, 0, at_least=0, doc="pad of two spatial axes: the vertical one")
    pad_w: int = field(int, 0, at_least=0, doc="pad of two spatial axes: the horizontal one")
    kernel_h: int = field(int, at_least=1, doc="kernel_size of two spatial axes: the vertical one")
    kernel_w: int = field(int, at_least=1, doc="kernel_size of two spatial axes: the horizontal one")
    stride_h: int = field(int, at_least=1, doc="stride of two spatial axes: the vertical one")
    stride_w: int = field(int, at_least=1, doc="stride of two spatial axes: the horizontal one")

    def window(self, layer: Layer, sizes: Sequence[int]) -> Window:
        """The window on spatial axes of these sizes.

        Raises LayerError for a missing kernel, two forms of one field, or a wrong number of values.
        """
        axes = len(sizes)
        kernel, stride = self._each(layer, "kernel_size", axes, None), self._each(layer, "stride", axes, 1)
        pad, dilation = self._each(layer, "pad", axes, 0), self._each(layer, "dilation", axes, 1)
        return Window.make(kernel, stride, pad, dilation)

    def _each(self, layer: Layer, name: str, axes: int, default: int | None) -> Axes:
        pair = None if name == "dilation" else _pair(layer, self, name, 0 if name == "pad" else None)
        if pair is not None:
            layer.require(axes == 2, f"the fields *_h and *_w are for two spatial axes, here are {axes}",
                          hint=f"give {name} once for each axis")
            return pair
        given = getattr(self, name)
        if not given and default is not None:
            return (default,) * axes
        hint = f"give {name} once, or once for each spatial axis"
        layer.require(bool(given) or axes == 0, f"{name} is missing", hint=hint)
        layer.require(len(given) in (1, axes), f"{name} is given {len(given)} times for {axes} spatial axes",
                      hint=hint, field=name)
        return tuple(given) * axes if len(given) == 1 else tuple(given)


class PlaneWindowParams(Params):
    """Two spatial axes: one number for both, or *_h and *_w."""

    pad: int = field(int, 0, at_least=0, doc="how far windows reach over the edges of a plane")
    kernel_size: int = field(int, at_least=1, doc="the height and width of the window")
    stride: int = field(int, 1, at_least=1, doc="the step between windows")
    pad_h: int = field(int, 0, at_least=0, doc="pad in the vertical, with pad_w")
    pad_w: int = field(int, 0, at_least=0, doc="pad in the horizontal, with pad_h")
    kernel_h: int = field(int, at_least=1, doc="the height of the window, with kernel_w")
    kernel_w: int = field(int, at_least=1, doc="the width of the window, with kernel_h")
    stride_h: int = field(int, at_least=1, doc="the vertical step, with stride_w")
    stride_w: int = field(int, at_least=1, doc="the horizontal step, with stride_h")

    def window(self, layer: Layer, sizes: Sequence[int], *, whole: bool = False) -> Window:
        """The window on planes of this height and width; whole: it covers the plane.

        Raises LayerError for a missing window or two forms of one field.
        """
        stride, pad = (_pair(layer, self, name, None) or (getattr(self, name),) * 2 for name in ("stride", "pad"))
        if whole:
            given = [name for name in ("kernel_size", "kernel_h", "kernel_w") if self.has(name)]
            layer.require(not given, "the window covers the plane already", hint=f"remove {', '.join(given)}")
            window = Window.make(sizes, stride, pad)
            layer.require(not window.padded and stride == (1, 1),
                          "a window that covers the plane takes no pad and no stride", hint="remove pad and stride")
            return window
        kernel = _pair(layer, self, "kernel_size", None) or (self.kernel_size,) * 2
        layer.require(kernel[0] is not None, "kernel_size is missing",
                      hint="give kernel_size, or kernel_h and kernel_w")
        return Window.make(kernel, stride, pad)
