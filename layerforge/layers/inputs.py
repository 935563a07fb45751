"""Layers that give the net what is set from outside, constants, random numbers or a learned blob."""

from __future__ import annotations

from functools import partial

from layerforge.layers.base import Layer
from layerforge.layers.fillers import FillerParams, check_filler, fill
from layerforge.netdef.params import Params, field


class BlobShape(Params):
    dim: tuple[int, ...] = field(int, repeated=True, at_least=0, doc="the sizes of the axes")


class InputParams(Params, message="input_param"):
    shape: tuple[BlobShape, ...] = field(BlobShape, repeated=True, doc="one for each, for all, or none")


class Input(Layer):
    """top[i] = what the caller put there

    top[i]  the shape of shape[i], or of the only one

    Source: Caffe's input_layer.cpp
    """

    type, Params = "Input", InputParams
    bottoms, tops = 0, (1, None)
    writes_tops = False

    def setup(self, bottom, top):
        shapes = self.params.shape
        self.require(len(shapes) in (0, 1, len(top)), f"{len(shapes)} shapes for {len(top)} tops",
                     hint="give one shape for each top, one for all, or none", field="shape")
        for i, view in enumerate(top):
            if shapes:
                view.reshape(shapes[i % len(shapes)].dim)

    def reshape(self, bottom, top):
        """The shapes are set once: a script may have changed them since."""

    def forward(self, bottom, top):
        """The values are there already."""


class DummyDataParams(Params, message="dummy_data_param"):
    data_filler: tuple[FillerParams, ...] = field(FillerParams, repeated=True, doc="one for each, for all, or none")
    shape: tuple[BlobShape, ...] = field(BlobShape, repeated=True, doc="one for each top, or one for all")
    num: tuple[int, ...] = field(int, repeated=True, at_least=0, doc="the first axis of all tops or each (old form)")
    channels: tuple[int, ...] = field(int, repeated=True, at_least=0, doc="the second axis of all or each (old form)")
    height: tuple[int, ...] = field(int, repeated=True, at_least=0, doc="the third axis of all tops or each (old form)")
    width: tuple[int, ...] = field(int, repeated=True, at_least=0, doc="the fourth axis of all tops or each (old form)")


class DummyData(Layer):
    """top[i] = a filler's values: constant ones are set once, random ones drawn for every forward

    top[i]  the shape of shape[i], or num × channels × height × width

    Source: Caffe's dummy_data_layer.cpp
    """

    type, Params = "DummyData", DummyDataParams
    bottoms, tops = 0, (1, None)
    arrays, captured, uncaptured_reason = "host", False, "draws its numbers on the host"

    def setup(self, bottom, top):
        fillers = self.params.data_filler or (FillerParams(),)
        self.require(len(fillers) in (1, len(top)), f"{len(fillers)} data_fillers for {len(top)} tops",
                     hint="give one data_filler for each top, one for all, or none", field="data_filler")
        self.fillers = [fillers[i % len(fillers)] for i in range(len(top))]
        self.writes_tops = any(p.type != "constant" for p in self.fillers)
        for view, shape, p in zip(top, self._shapes(len(top)), self.fillers):
            view.reshape(shape)
            check_filler(p, shape, f"{self.definition}: data_filler", self.definition.where)
            if p.type == "constant":
                view.blob.data.initial = partial(fill, p, (), None)  # one number, for any shape

    def _shapes(self, tops):
        p = self.params
        old = {name: getattr(p, name) for name in ("num", "channels", "height", "width")}
        if not any(old.values()):
            self.require(len(p.shape) in (1, tops), f"{len(p.shape)} shapes for {tops} tops",
                         hint="give one shape for each top, or one for all", field="shape")
            return [p.shape[i % len(p.shape)].dim for i in range(tops)]
        self.require(not p.shape, "shape and the old fields num, channels, height, width are both given",
                     hint="keep shape", field="shape")
        for name, values in old.items():
            self.require(len(values) in (1, tops), f"{name} is given {len(values)} times for {tops} tops",
                         hint=f"give {name} once for each top, or once for all", field=name)
        return [tuple(values[i % len(values)] for values in old.values()) for i in range(tops)]

    def reshape(self, bottom, top):
        """The shapes are set once: a script may have changed them since."""

    def forward(self, bottom, top):
        for i, (view, p) in enumerate(zip(top, self.fillers)):
            if p.type != "constant":
                view.data[...] = fill(p, view.shape, self.rng.stream(f"fill{i}").next())


class ParameterParams(Params, message="parameter_param"):
    shape: BlobShape = field(BlobShape, BlobShape(), doc="the shape of the learned blob")


class Parameter(Layer):
    """y = W

    top[0]  y (*shape)
    blobs   W (*shape), zeros at the start

    Source: Caffe's parameter_layer.hpp
    """

    type, Params = "Parameter", ParameterParams
    bottoms, tops = 0, 1

    def setup(self, bottom, top):
        self.W = self.add_blob(self.params.shape.dim)

    def reshape(self, bottom, top):
        top[0].reshape(self.W.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.W.data

    def backward(self, top, propagate_down, bottom):
        if self.needs_gradient[0]:
            self.W.diff[...] += top[0].diff
