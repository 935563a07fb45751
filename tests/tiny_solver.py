"""A small net and solver, and what tests look at."""

import numpy as np

from layerforge.core.storage import HOST
from layerforge.solver.observer import Observer

NET = """
name: "tiny"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 4 dim: 6 } shape { dim: 4 }
                     data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "ip" top: "ip" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SMALL = """
name: "small"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 2 dim: 2 dim: 6 dim: 6 } shape { dim: 2 }
                     data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 5 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "drop" type: "Dropout" bottom: "pool" top: "pool" }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
WEIGHTED = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } shape { dim: 2 }
                     data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
FIELDS = {"base_lr": 0.1, "lr_policy": '"fixed"', "momentum": 0.9, "max_iter": 6, "random_seed": 5,
          "snapshot_prefix": '"tiny"'}


def solver_text(fields="", net=NET, **changed):
    """A solver with the net inside: FIELDS, changed by keywords (None leaves one out), and more fields as text."""
    given = {**FIELDS, **changed}
    lines = [f"{name}: {value}" for name, value in given.items() if value is not None]
    return " ".join([*lines, fields, f"net_param {{ {net} }}"])


class Recorder(Observer):
    """Remembers what it was told."""

    def __init__(self):
        self.reports, self.tests, self.files, self.messages, self.finished = [], [], [], [], []

    def on_iteration(self, report):
        self.reports.append(report)

    def on_test(self, report):
        self.tests.append(report)

    def on_snapshot(self, path, kind, file_format):
        self.files.append(path)

    def on_message(self, text, source="solver.cpp"):
        self.messages.append(text)

    def on_finish(self, iteration, loss):
        self.finished.append((iteration, loss))

    def said(self, part):
        return any(part in message for message in self.messages)


def parameters(solver):
    """All parameters, copied."""
    return [each.blob.data.array(HOST).copy() for each in solver.net.learnable]


def histories(solver):
    """All histories, copied."""
    return [storage.array(HOST).copy() for storage in solver.updater.history]


def same(a, b):
    """Whether two lists of arrays are equal, bit for bit."""
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b))
