"""Layers that put values around: Pad, MirrorPad."""

from __future__ import annotations

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, field


class PadParams(Params, message="pad_param"):
    paddings: tuple[int, ...] = field(
        int, repeated=True, at_least=0, doc="before and behind the first axis, the second, …"
    )
    constant_values: float = field(float, 0.0, doc="what the padding holds")


class Pad(Layer):
    """y = x between paddings

    bottom[0]  x (n_0, n_1, …)
    top[0]     y (p_0 + n_0 + p_1, p_2 + n_1 + p_3, …)
    """

    type, Params = "Pad", PadParams

    def reshape(self, bottom, top):
        shape, p = bottom[0].shape, self.params.paddings
        self.require(
            len(p) == 2 * len(shape),
            f"paddings has {len(p)} values, bottom[0] is {shape}: two per axis are needed",
            field="paddings",
        )
        self.inside = tuple(slice(before, before + n) for before, n in zip(p[::2], shape))
        top[0].reshape([before + n + behind for before, n, behind in zip(p[::2], shape, p[1::2])])

    def forward(self, bottom, top):
        y = top[0].data
        y.fill(self.params.constant_values)
        self.xp.copyto(y[self.inside], bottom[0].data)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.xp.copyto(bottom[0].diff, top[0].diff[self.inside])


class MirrorPadParams(PadParams, message="mirror_pad_param"):
    mode: str = field(
        str,
        "CONSTANT",
        choices=("CONSTANT", "REFLECT", "SYMMETRIC"),
        doc="REFLECT mirrors at the last value, SYMMETRIC behind it",
    )


class MirrorPad(Pad):
    """y = x between its own mirror images

    bottom[0]  x (n_0, n_1, …)
    top[0]     y (p_0 + n_0 + p_1, p_2 + n_1 + p_3, …)
    """

    type, Params = "MirrorPad", MirrorPadParams

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        mode, p = self.params.mode, self.params.paddings
        reflect = mode == "REFLECT"
        self.mirrors = []  # (padding, what it shows), each made of axes that are whole already
        for i, n in enumerate(bottom[0].shape) if mode != "CONSTANT" else ():
            before, behind, most = p[2 * i], p[2 * i + 1], n - reflect
            self.require(
                max(before, behind) <= most,
                f"axis {i} of bottom[0] has {n}, its padding can be at most {most}",
                field="paddings",
            )
            axes = (slice(None),) * i + (slice(None, None, -1),)
            later = self.inside[i + 1 :]
            for size, at, source in (
                (before, 0, before + reflect),
                (behind, before + n, before + n - behind - reflect),
            ):
                if size:
                    here = (slice(None),) * i
                    self.mirrors.append(
                        ((*here, slice(at, at + size), *later), (*here, slice(source, source + size), *later), axes)
                    )
        self.work = self.scratch(top[0].shape) if self.mirrors else None

    def forward(self, bottom, top):
        super().forward(bottom, top)
        y = top[0].data
        for padding, source, flip in self.mirrors:
            self.xp.copyto(y[padding], y[source][flip])

    def backward(self, top, propagate_down, bottom):
        if not self.mirrors or not propagate_down[0]:
            super().backward(top, propagate_down, bottom)
            return
        dy = self.work.data
        self.xp.copyto(dy, top[0].diff)
        for padding, source, flip in reversed(self.mirrors):
            shown = dy[source][flip]
            self.xp.add(shown, dy[padding], out=shown)
        self.xp.copyto(bottom[0].diff, dy[self.inside])
