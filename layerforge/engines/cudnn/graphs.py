"""What the engine asks of cuDNN: one frozen value a graph, and how it is built. Nothing here needs a device.

Tensors are 4-D in Caffe's order of axes (N, C, H, W) and lie channels last. Sums are float32; x, y, w and their
gradients are of the type the key names: BF16, FP16, TF32 (float32 with TF32 products) or FP32 (float32 throughout).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

Shape = tuple[int, int, int, int]
TYPES = {"BF16": "BFLOAT16", "FP16": "HALF", "TF32": "FLOAT", "FP32": "FLOAT"}


def channels_last(shape: Sequence[int]) -> list[int]:
    """The strides of (N, C, H, W) with the channels innermost."""
    _, c, h, w = shape
    return [c * h * w, 1, c * w, c]


@dataclass(frozen=True)
class Geometry:
    """One convolution. w (O, C/group, *kernel); numbers of two axes."""

    x: Shape
    w: Shape
    stride: tuple[int, int]
    pad: tuple[int, int]
    pad_end: tuple[int, int]
    dilation: tuple[int, int]

    @property
    def y(self) -> Shape:
        spans = zip(self.x[2:], self.pad, self.pad_end, self.dilation, self.w[2:], self.stride)
        h, w = ((n + p + q - d * (k - 1) - 1) // s + 1 for n, p, q, d, k, s in spans)
        return self.x[0], self.w[0], h, w

    @property
    def window(self) -> dict[str, list[int]]:
        return {
            "pre_padding": list(self.pad),
            "post_padding": list(self.pad_end),
            "stride": list(self.stride),
            "dilation": list(self.dilation),
        }


class Maker:
    """A graph under construction, with its named tensors."""

    def __init__(self, cudnn: Any, kind: str, **how: Any) -> None:
        self.cudnn, self.kind = cudnn, getattr(cudnn.data_type, TYPES[kind])
        self.float, self.boolean = cudnn.data_type.FLOAT, cudnn.data_type.BOOLEAN
        self.graph = cudnn.pygraph(
            io_data_type=self.kind, intermediate_data_type=self.float, compute_data_type=self.float, **how
        )
        self.tensors: dict[str, Any] = {}

    def input(self, name: str, shape: Sequence[int], *, kind: Any = None, strides: Sequence[int] | None = None) -> Any:
        self.tensors[name] = self.graph.tensor(
            name=name, dim=list(shape), data_type=kind or self.kind, stride=list(strides or channels_last(shape))
        )
        return self.tensors[name]

    def statistic(self, name: str, channels: int) -> Any:
        """One float32 number a channel."""
        return self.input(name, (1, channels, 1, 1), kind=self.float)

    def number(self, name: str) -> Any:
        """A float32 that the host gives with every run."""
        self.tensors[name] = self.graph.tensor(
            name=name, dim=[1] * 4, stride=[1] * 4, data_type=self.float, is_pass_by_value=True
        )
        return self.tensors[name]

    def output(self, name: str, tensor: Any, shape: Sequence[int], *, kind: Any = None) -> None:
        tensor.set_output(True).set_data_type(kind or self.kind).set_dim(list(shape)).set_stride(channels_last(shape))
        self.tensors[name] = tensor

    def relu(self, tensor: Any, wanted: bool) -> Any:
        return self.graph.relu(tensor) if wanted else tensor


@dataclass(frozen=True)
class Convolution:
    """y = relu(factor (w ⋆ x) + bias + z), each part but w ⋆ x if asked for;  x, w, factor, bias (float32), z → y

    factor and bias, one a channel, are also a normalisation with known statistics.
    """

    name: ClassVar[str] = "convolution"
    outputs: ClassVar[tuple[str, ...]] = ("y",)
    products: ClassVar[bool] = True
    geometry: Geometry
    kind: str
    bias: bool = False
    add: bool = False
    relu: bool = False
    factor: bool = False

    def build(self, make: Maker) -> None:
        g = self.geometry
        x, w = make.input("x", g.x), make.input("w", g.w)
        y = make.graph.conv_fprop(image=x, weight=w, **g.window)
        if self.factor:
            y = make.graph.mul(a=y, b=make.statistic("factor", g.w[0]))
        if self.bias:
            y = make.graph.bias(input=y, bias=make.statistic("bias", g.w[0]))
        if self.add:
            y = make.graph.add(a=y, b=make.input("z", g.y))
        make.output("y", make.relu(y, self.relu), g.y)


@dataclass(frozen=True)
class DataGradient:
    """dx;  dy, w → dx"""

    name: ClassVar[str] = "data gradient"
    outputs: ClassVar[tuple[str, ...]] = ("dx",)
    products: ClassVar[bool] = True
    geometry: Geometry
    kind: str

    def build(self, make: Maker) -> None:
        g = self.geometry
        dy, w = make.input("dy", g.y), make.input("w", g.w)
        make.output("dx", make.graph.conv_dgrad(loss=dy, filter=w, **g.window), g.x)


@dataclass(frozen=True)
class WeightGradient:
    """dw, in the type of x: cuDNN has no bfloat16 product with a float32 result;  x, dy → dw"""

    name: ClassVar[str] = "weight gradient"
    outputs: ClassVar[tuple[str, ...]] = ("dw",)
    products: ClassVar[bool] = True
    geometry: Geometry
    kind: str

    def build(self, make: Maker) -> None:
        g = self.geometry
        x, dy = make.input("x", g.x), make.input("dy", g.y)
        make.output("dw", make.graph.conv_wgrad(image=x, loss=dy, **g.window), g.w)


@dataclass(frozen=True)
class BiasGradient:
    """db[c] = Σ dy, float32;  dy → db"""

    name: ClassVar[str] = "bias gradient"
    outputs: ClassVar[tuple[str, ...]] = ("db",)
    products: ClassVar[bool] = False
    y: Shape
    kind: str

    def build(self, make: Maker) -> None:
        dy, shape = make.input("dy", self.y), (1, self.y[1], 1, 1)
        db = make.graph.reduction(input=dy, mode=make.cudnn.reduction_mode.ADD)
        make.output("db", db, shape, kind=make.float)


@dataclass(frozen=True)
class Norm:
    """y = relu(scale (x - mean) / √(var + eps) + bias + z) with the batch's statistics; cuDNN adds z only under a ReLU

    x, scale, bias, old_mean, old_var, eps, momentum, z, zero → y, mean, inv_var, new_mean, new_var, mask

    inv_var is 1/√(var + eps). mask has a bit for every value of y that is above `zero`, eight to a byte; it is there
    where relu is. old_… and new_… are cuDNN's running statistics, which nobody reads.
    """

    name: ClassVar[str] = "normalisation"
    outputs: ClassVar[tuple[str, ...]] = ("y", "mean", "inv_var")
    products: ClassVar[bool] = False
    y: Shape
    kind: str
    add: bool = False
    relu: bool = False

    def build(self, make: Maker) -> None:
        c = self.y[1]
        x = make.input("x", self.y)
        scale, bias, mean, var = (make.statistic(name, c) for name in ("scale", "bias", "old_mean", "old_var"))
        y, *statistics = make.graph.batchnorm(
            input=x,
            scale=scale,
            bias=bias,
            in_running_mean=mean,
            in_running_var=var,
            epsilon=make.number("eps"),
            momentum=make.number("momentum"),
        )
        for name, each in zip(("mean", "inv_var", "new_mean", "new_var"), statistics):
            make.output(name, each, (1, c, 1, 1), kind=make.float)
        if self.add:
            y = make.graph.add(a=y, b=make.input("z", self.y))
        if self.relu:
            y = make.graph.relu(y)
            mask = make.graph.cmp_gt(input=y, comparison=make.input("zero", (1, 1, 1, 1)))
            make.output("mask", mask, self.y, kind=make.boolean)
        make.output("y", y, self.y)


@dataclass(frozen=True)
class NormInference:
    """y = relu(factor x + bias + z);  x, factor, bias, z → y"""

    name: ClassVar[str] = "normalisation with known statistics"
    outputs: ClassVar[tuple[str, ...]] = ("y",)
    products: ClassVar[bool] = False
    y: Shape
    kind: str
    add: bool = False
    relu: bool = False

    def build(self, make: Maker) -> None:
        x, graph = make.input("x", self.y), make.graph
        factor, bias = (make.statistic(name, self.y[1]) for name in ("factor", "bias"))
        y = graph.add(a=graph.mul(a=x, b=factor), b=bias)
        if self.add:
            y = graph.add(a=y, b=make.input("z", self.y))
        make.output("y", make.relu(y, self.relu), self.y)


@dataclass(frozen=True)
class NormGradient:
    """dx, dscale, dbias;  dy, mask, x, scale, mean, inv_var → dx, dscale, dbias, dz

    With relu, dy is taken where the mask is set; with add this is dz too.
    """

    name: ClassVar[str] = "normalisation gradient"
    outputs: ClassVar[tuple[str, ...]] = ("dx", "dscale", "dbias")
    products: ClassVar[bool] = False
    y: Shape
    kind: str
    add: bool = False
    relu: bool = False

    def build(self, make: Maker) -> None:
        c = self.y[1]
        dy, x = make.input("dy", self.y), make.input("x", self.y)
        scale, mean, inv = (make.statistic(name, c) for name in ("scale", "mean", "inv_var"))
        if self.relu:
            dy = make.graph.mul(a=dy, b=make.input("mask", self.y, kind=make.boolean))
            dy.set_data_type(make.kind)
        if self.add:
            make.output("dz", dy, self.y)
        dx, *rest = make.graph.batchnorm_backward(grad=dy, input=x, scale=scale, mean=mean, inv_variance=inv)
        make.output("dx", dx, self.y)
        for name, each in zip(("dscale", "dbias"), rest):
            make.output(name, each, (1, c, 1, 1), kind=make.float)


Key = Convolution | DataGradient | WeightGradient | BiasGradient | Norm | NormInference | NormGradient
