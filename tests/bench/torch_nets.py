"""The same nets in PyTorch, made from the same definition: straight code by torch.fx."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.fx.experimental.optimization import fuse
from torch.nn import functional as F

from layerforge.core.storage import HOST
from layerforge.net.build import build_net
from layerforge.netdef.types import NetDef, Phase

NOTHING = ("Input", "Split", "Scale")  # Split is a name, Scale belongs to the BatchNorm before it


class Translation:
    """A module of one operation a layer, in place where the text's ReLU works in place.

    model  takes data and, where the net has losses, label (whole numbers); gives the weighted sum of the losses, or
           the last top
    parts  layer name → module, of layers with parameters
    """

    def __init__(self, definition: NetDef, phase: Phase) -> None:
        self.net = net = build_net(definition, phase, engines=())
        self.phase, self.graph = phase, fx.Graph()
        self.parts: dict[str, nn.Module] = {}
        self.modules = nn.ModuleDict()
        self.values: dict[int, fx.Node] = {}  # blob number → what computes it
        self.losses: list[fx.Node] = []
        for name in net.inputs:
            node = self.graph.placeholder(name)
            self.values[net.graph.blobs.index(name)] = node
        for i in range(len(net.layers)):
            self._layer(i)
        self.graph.output(self._sum() if self.losses else self.values[net.graph.nodes[-1].tops[0]])
        model = fx.GraphModule(self.modules, self.graph)
        self.model = model.train() if phase is Phase.TRAIN else fuse(model.eval(), inplace=True, no_trace=True)

    def _layer(self, i: int) -> None:
        node, layer = self.net.graph.nodes[i], self.net.layers[i]
        if layer.type in NOTHING:
            self.values.update((top, self.values[node.bottoms[0]]) for top in node.tops if node.bottoms)
            return
        xs = [self.values[b] for b in node.bottoms]
        if layer.type == "SoftmaxWithLoss":
            scores = self._call(torch.flatten, xs[0], 1) if len(self._shape(node.bottoms[0])) > 2 else xs[0]
            loss = self._call(F.cross_entropy, scores, xs[1])
            weight = layer.definition.loss_weight
            self.losses.append(self._call(torch.mul, loss, weight[0]) if weight else loss)
            return
        if layer.type in MODULES:
            if layer.type == "InnerProduct" and len(self._shape(node.bottoms[0])) > 2:
                xs[0] = self._call(torch.flatten, xs[0], 1)
            behind = self.net.layers[i + 1] if i + 1 < len(self.net.layers) else None
            key = f"m{i}"
            self.modules[key] = self.parts[layer.name] = MODULES[layer.type](layer, behind)
            self.values[node.tops[0]] = self.graph.call_module(key, (xs[0],))
            return
        function, arguments = FUNCTIONS[layer.type](layer, xs, self.phase)
        self.values[node.tops[0]] = self._call(function, *arguments)

    def _call(self, function: Callable, *arguments: Any) -> fx.Node:
        return self.graph.call_function(function, arguments)

    def _sum(self) -> fx.Node:
        total = self.losses[0]
        for loss in self.losses[1:]:
            total = self._call(torch.add, total, loss)
        return total

    def _shape(self, number: int) -> tuple[int, ...]:
        return self.net.blob_list[number].shape

    def take_weights(self, net: Any) -> None:
        """The parameters of a net of LayerForge. For training: inference has folded its normalisations."""
        for i, layer in enumerate(net.layers):
            arrays = [torch.tensor(v.blob.data.array(HOST).reshape(v.shape)) for v in layer.blobs]
            if not arrays or layer.type == "BatchNorm":
                continue
            part = self.parts[net.layers[i - 1].name if layer.type == "Scale" else layer.name]
            with torch.no_grad():
                part.weight.copy_(arrays[0].reshape(part.weight.shape))
                if len(arrays) > 1:
                    part.bias.copy_(arrays[1].reshape(part.bias.shape))


def _convolution(layer: Any, behind: Any) -> nn.Module:
    p, w = layer.params, layer.window
    return nn.Conv2d(layer.channels, p.num_output, w.kernel, w.stride, w.pad, w.dilation, p.group, p.bias_term)


def _batch_norm(layer: Any, behind: Any) -> nn.Module:
    affine = behind is not None and behind.type == "Scale"
    return nn.BatchNorm2d(layer.sums[0].shape[0], eps=layer.params.eps, affine=affine)


def _lrn(layer: Any, behind: Any) -> nn.Module:
    p = layer.params
    return nn.LocalResponseNorm(p.local_size, p.alpha, p.beta, p.k)


def _pooling(layer: Any, behind: Any) -> nn.Module:
    kind = {"MAX": nn.MaxPool2d, "AVE": nn.AvgPool2d}[layer.method]
    return kind(layer.window.kernel, layer.window.stride, layer.window.pad, ceil_mode=True)


MODULES: dict[str, Callable[[Any, Any], nn.Module]] = {
    "Convolution": _convolution,
    "InnerProduct": lambda layer, behind: nn.Linear(layer.k, layer.params.num_output, layer.params.bias_term),
    "BatchNorm": _batch_norm,
    "LRN": _lrn,
    "Pooling": _pooling,
    "ReLU": lambda layer, behind: nn.ReLU(inplace=True),
    "Dropout": lambda layer, behind: nn.Dropout(layer.params.dropout_ratio),
}
"""Layer type → the module, from the layer and the one behind it."""

FUNCTIONS: dict[str, Callable] = {
    "Sigmoid": lambda layer, xs, phase: (torch.sigmoid, xs),
    "Concat": lambda layer, xs, phase: (torch.cat, (xs, 1)),
    "Eltwise": lambda layer, xs, phase: (torch.add, xs),
    "Softmax": lambda layer, xs, phase: (F.softmax, (xs[0], 1)),
}
"""Layer type → a function and its arguments, for layers without parameters."""
