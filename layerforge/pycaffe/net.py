"""Net as pycaffe offers it."""

from __future__ import annotations

import itertools
import os
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from layerforge.core.errors import NetError
from layerforge.io.weights import load_weights, save_weights
from layerforge.layers.base import Layer
from layerforge.layers.python_layer import Python
from layerforge.net.build import build_net
from layerforge.net.net import Net as CoreNet
from layerforge.net.share import share_parameters_with
from layerforge.netdef.types import Phase
from layerforge.pycaffe import modes
from layerforge.pycaffe.blob import Blob
from layerforge.pycaffe.display import svg_of
from layerforge.schema.read import read_net


class LayerInfo:
    """What `net.layers` holds: type and parameters. For a layer written in Python it is the user's own object."""

    def __init__(self, layer: Layer) -> None:
        self.type, self.blobs = layer.definition.type, [Blob(view.blob) for view in layer.blobs]


class Net:
    """Net(prototxt, phase, level=0, stages=None, weights=None)

    The old form Net(prototxt, weights, phase) is understood with a warning.
    """

    def __init__(
        self, network_file: str, *args: Any, phase: int | None = None, level: int = 0,
        stages: Sequence[str] | None = None, weights: str | None = None,
    ) -> None:
        rest = list(args)
        if rest and isinstance(rest[0], (str, os.PathLike)):
            warnings.warn("Net(prototxt, weights, phase) is the old form; use Net(prototxt, phase, weights=...)",
                          DeprecationWarning, stacklevel=2)
            weights, rest = os.fspath(rest[0]), rest[1:]
        names = ("phase", "level", "stages", "weights")
        given = dict(zip(names, rest))
        phase = given.get("phase", phase)
        if phase is None:
            raise TypeError("Net needs a phase: layerforge.TRAIN or layerforge.TEST")
        stages = tuple(given.get("stages", stages) or ())
        net = build_net(read_net(os.fspath(network_file)), Phase(phase), level=given.get("level", level), stages=stages,
                        backend=modes.backend(), rng=modes.random())
        self._adopt(net)
        weights = given.get("weights", weights)
        if weights is not None:
            self.copy_from(weights)

    @classmethod
    def of(cls, net: CoreNet) -> Net:
        """The facade of a net that exists already, such as a solver's."""
        made = cls.__new__(cls)
        made._adopt(net)
        return made

    def _adopt(self, net: CoreNet) -> None:
        self._net, self.name = net, net.name
        wrapped = {id(blob): Blob(blob) for blob in net.blob_list}
        self._blobs = [wrapped[id(blob)] for blob in net.blob_list]
        self._blob_names = list(net.graph.blobs)
        self._layer_names = list(net.layer_names)
        self.blobs: OrderedDict[str, Blob] = OrderedDict(zip(self._blob_names, self._blobs))
        self.layers: list[Any] = [layer.user if isinstance(layer, Python) else LayerInfo(layer) for layer in net.layers]
        pairs = list(zip(self._layer_names, self.layers))
        self.layer_dict: OrderedDict[str, Any] = OrderedDict(pairs)
        self.params: OrderedDict[str, Any] = OrderedDict((name, each.blobs) for name, each in pairs if each.blobs)
        names = net.graph.blobs
        self.top_names = OrderedDict((n.definition.name, [names[i] for i in n.tops]) for n in net.graph.nodes)
        self.bottom_names = OrderedDict((n.definition.name, [names[i] for i in n.bottoms]) for n in net.graph.nodes)
        self.inputs, self.outputs = list(net.inputs), list(net.outputs)
        self._inputs, self._outputs = list(net.graph.inputs), list(net.graph.outputs)
        self.blob_loss_weights = OrderedDict(net.loss_weights)

    def __repr__(self) -> str:
        ends = f"{' '.join(self.inputs) or 'no inputs'} → {' '.join(self.outputs) or 'no outputs'}"
        return f"<{type(self).__name__} {self.name!r}: {len(self.layers)} layers, {ends}>"

    def _repr_svg_(self) -> str | None:
        """What a notebook shows: the layers with their shapes."""
        return svg_of(self._net)

    def forward(
        self, blobs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **inputs: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Runs the layers from `start` to `end` (both included) on the inputs given by name, or on what the blobs hold.

        Returns the outputs (with `end`: its tops) and the blobs asked for, live.
        """
        extra = list(blobs or [])
        first = 0 if start is None else self._index(start)
        last = len(self.layers) - 1 if end is None else self._index(end)
        names = set((self.outputs if end is None else self.top_names[end]) + extra)
        self._feed(inputs, self.inputs, "inputs", "data")
        self._net.forward_from_to(first, last)
        return {name: self.blobs[name].data for name in names}

    def backward(
        self, diffs: Sequence[str] | None = None, start: str | None = None, end: str | None = None,
        **top_diffs: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Runs the layers from `start` down to `end`, from the outputs' diffs given by name, or from what they hold.

        Returns the diffs of the inputs (with `end`: of its bottoms) and those asked for, live.
        """
        extra = list(diffs or [])
        first = len(self.layers) - 1 if start is None else self._index(start)
        last = 0 if end is None else self._index(end)
        names = set((self.inputs if end is None else self.bottom_names[end]) + extra)
        self._feed(top_diffs, self.outputs, "outputs", "diff")
        self._net.backward_from_to(first, last)
        return {name: self.blobs[name].diff for name in names}

    def forward_all(self, blobs: Sequence[str] | None = None, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Forward over any number of items, in batches of the net's size; the last batch is padded with zeros."""
        found: dict[str, list[np.ndarray]] = {}
        for batch in self._batch(inputs):
            _collect(found, self.forward(blobs=blobs, **batch))
        return _joined(found, _length(inputs))

    def forward_backward_all(
        self, blobs: Sequence[str] | None = None, diffs: Sequence[str] | None = None, **values: np.ndarray
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Forward and backward over any number of items: inputs and output diffs by name. Returns blobs and diffs."""
        found: dict[str, list[np.ndarray]] = {}
        gradients: dict[str, list[np.ndarray]] = {}
        up = self._batch({name: values[name] for name in self.inputs if name in values})
        down = self._batch({name: values[name] for name in self.outputs if name in values})
        for batch, tops in itertools.zip_longest(up, down, fillvalue={}):
            _collect(found, self.forward(blobs=blobs, **batch))
            _collect(gradients, self.backward(diffs=diffs, **tops))
        return _joined(found, _length(values)), _joined(gradients, _length(values))

    def reshape(self) -> None:
        """Propagates changed input shapes through the net."""
        self._net.reshape()

    def clear_param_diffs(self) -> None:
        """Sets the gradients of all parameters to zero, also in arrays that were handed out."""
        self._net.clear_gradients()

    def copy_from(self, path: str | os.PathLike[str]) -> None:
        """Takes weights by layer name from a .caffemodel (binary or HDF5); several files are separated by commas."""
        for part in os.fspath(path).split(","):
            load_weights(self._net, part)

    load_hdf5 = copy_from

    def share_with(self, other: Net) -> None:
        """Uses the other net's parameters for layers of the same name."""
        share_parameters_with(self._net, other._net)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the parameters as a binary .caffemodel."""
        from layerforge.io import weights as weight_files

        weight_files.save_weights(self._net, os.fspath(path), hdf5=False)

    def save_hdf5(self, path: str | os.PathLike[str]) -> None:
        """Writes the parameters as HDF5."""
        save_weights(self._net, path, hdf5=True)

    def set_input_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Gives arrays to the net's MemoryData layer, which must be its first layer."""
        layer = self._net.layers[0]
        if layer.type != "MemoryData":
            raise NetError(f"set_input_arrays needs a MemoryData layer first, this net begins with {layer.definition}")
        layer.set_arrays(data, labels)  # type: ignore[attr-defined]

    def before_forward(self, hook: Any) -> None:
        """Calls hook(layer number) before each layer's forward."""
        self._net.hooks["before_forward"].append(hook)

    def after_forward(self, hook: Any) -> None:
        """Calls hook(layer number) after each layer's forward."""
        self._net.hooks["after_forward"].append(hook)

    def before_backward(self, hook: Any) -> None:
        """Calls hook(layer number) before each layer's backward."""
        self._net.hooks["before_backward"].append(hook)

    def after_backward(self, hook: Any) -> None:
        """Calls hook(layer number) after each layer's backward."""
        self._net.hooks["after_backward"].append(hook)

    def _top_ids(self, layer: int) -> list[int]:
        """The numbers of a layer's tops among all blobs."""
        return list(self._net.graph.nodes[layer].tops)

    def _bottom_ids(self, layer: int) -> list[int]:
        """The numbers of a layer's bottoms among all blobs."""
        return list(self._net.graph.nodes[layer].bottoms)

    def _forward(self, start: int, end: int) -> float:
        """Runs the layers of these numbers, both included; the loss."""
        return self._net.forward_from_to(start, end)

    def _backward(self, start: int, end: int) -> None:
        """Runs the layers of these numbers downwards, both included."""
        self._net.backward_from_to(start, end)

    def _index(self, layer: str) -> int:
        if layer not in self._layer_names:
            raise ValueError(f"the net has no layer {layer!r}")
        return self._layer_names.index(layer)

    def _feed(self, values: Mapping[str, np.ndarray], names: Sequence[str], what: str, part: str) -> None:
        if values and set(values) != set(names):
            raise ValueError(f"got {sorted(values)}, the net's {what} are {sorted(names)}")
        for name, array in values.items():
            have, want = np.shape(array), self.blobs[name].shape
            if have[:1] != want[:1]:
                raise ValueError(f"{name} has {have[:1]} items, the net takes {want[:1]}; forward_all takes any number")
            getattr(self.blobs[name], part)[...] = array

    def _batch(self, values: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        size = next(iter(self.blobs.values())).shape[0]
        for at in range(0, _length(values) if values else 0, size):
            batch = {name: np.asarray(array[at : at + size]) for name, array in values.items()}
            yield {name: np.concatenate([b, np.zeros((size - len(b), *b.shape[1:]), b.dtype)]) if len(b) < size else b
                   for name, b in batch.items()}


def _length(values: Mapping[str, np.ndarray]) -> int:
    return len(next(iter(values.values())))


def _collect(found: dict[str, list[np.ndarray]], part: Mapping[str, np.ndarray]) -> None:
    for name, array in part.items():
        found.setdefault(name, []).append(np.array(array))


def _joined(found: Mapping[str, list[np.ndarray]], length: int) -> dict[str, np.ndarray]:
    return {name: np.concatenate([np.atleast_1d(p) for p in parts])[:length] for name, parts in found.items()}
