"""The same nets in PyTorch, made from the prototxt text: a module that walks the layers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net


class Walk(nn.Module):
    """One operation per layer, on a dict of values. In place where the text works in place."""

    def __init__(self, text):
        super().__init__()
        net = build_net(parse_net(text), Phase.TEST if "SoftmaxWithLoss" not in text else Phase.TRAIN, engines=())
        self.size = net.blobs["data"].shape
        self.calls, self.parts = [], nn.ModuleDict()
        by_index = net.graph.blobs
        layers = [
            (layer, [by_index[b] for b in node.bottoms], [by_index[t] for t in node.tops])
            for layer, node in zip(net.layers, net.graph.nodes)
        ]
        alias = {}
        for i, (layer, bottoms, tops) in enumerate(layers):
            bottoms = [alias.get(b, b) for b in bottoms]
            if layer.type == "Split":
                alias.update(dict.fromkeys(tops, bottoms[0]))
                continue
            if layer.type in ("Input", "Scale"):
                continue
            module = self.module(layer, layers[i + 1][0] if i + 1 < len(layers) else None)
            if module is not None:
                self.parts[str(i)] = module
            self.calls.append((str(i), layer, bottoms, tops[0]))
        self.output = self.calls[-1][3]

    @staticmethod
    def module(layer, behind):
        p = layer.params
        if layer.type == "Convolution":
            w = layer.window
            return nn.Conv2d(layer.channels, p.num_output, w.kernel, w.stride, w.pad, groups=p.group, bias=p.bias_term)
        if layer.type == "InnerProduct":
            return nn.Linear(layer.k, p.num_output)
        if layer.type == "BatchNorm":
            return nn.BatchNorm2d(layer.sums[0].shape[0], affine=behind is not None and behind.type == "Scale")
        if layer.type == "LRN":
            return nn.LocalResponseNorm(p.local_size, p.alpha, p.beta, p.k)
        if layer.type == "Pooling":
            w = layer.window
            if layer.method == "MAX":
                return nn.MaxPool2d(w.kernel, w.stride, w.pad, ceil_mode=True)
            return nn.AvgPool2d(w.kernel, w.stride, w.pad, ceil_mode=True)
        return None

    def forward(self, data, label=None):
        values, losses = {"data": data}, []
        for key, layer, bottoms, top in self.calls:
            kind, x = layer.type, values.get(bottoms[0])
            if kind == "ReLU":
                y = F.relu(x, inplace=True)
            elif kind == "Dropout":
                y = F.dropout(x, 0.5, self.training)
            elif kind == "Concat":
                y = torch.cat([values[b] for b in bottoms], 1)
            elif kind == "Eltwise":
                y = values[bottoms[0]] + values[bottoms[1]]
            elif kind == "Softmax":
                y = F.softmax(x, 1)
            elif kind == "SoftmaxWithLoss":
                weight = layer.definition.loss_weight[0] if layer.definition.loss_weight else 1.0
                losses.append(weight * F.cross_entropy(x, label))
                continue
            else:
                if kind == "InnerProduct" and x.dim() > 2:
                    x = x.flatten(1)
                y = self.parts[key](x)
            values[top] = y
        return sum(losses) if losses else values[self.output]


def make_net(text):
    """(module, size of the input)"""
    made = Walk(text)
    return made, made.size


def fold(model):
    """BatchNorm goes into the convolution before it."""
    calls = []
    for call in model.calls:
        key, layer, bottoms, top = call
        if layer.type == "BatchNorm" and calls and calls[-1][1].type == "Convolution" and calls[-1][3] == bottoms[0]:
            at = calls[-1][0]
            model.parts[at] = torch.nn.utils.fusion.fuse_conv_bn_eval(model.parts[at], model.parts.pop(key))
            continue
        calls.append(call)
    model.calls = calls
    return model
