"""Runs a net here and, exported, in ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnxruntime

from layerforge.core.storage import HOST
from layerforge.io.onnx.export import onnx_model

OPTIONS = onnxruntime.SessionOptions()
OPTIONS.log_severity_level, OPTIONS.intra_op_num_threads = 4, 1


def values(blob):
    """The numbers of a blob."""
    return blob.data.array(HOST).reshape(blob.shape).copy()


def set_values(blob, new):
    """Puts numbers into a blob."""
    blob.data.set(np.ascontiguousarray(new, blob.dtype))


def run_onnx(model, feed):
    """Output name → array."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), OPTIONS, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {name: feed[name] for name in (i.name for i in session.get_inputs())})))


def both(net, feed=None, seed=0, **options):
    """(here, in ONNX Runtime) for each output of the exported net, on these inputs, else on random ones."""
    rng = np.random.default_rng(seed)
    model = onnx_model(net, **options)
    for name in net.inputs:
        blob = net.blobs[name]
        set_values(blob, (feed or {}).get(name, rng.normal(size=blob.shape)))
    sent = {name: values(net.blobs[name]) for name in net.inputs}
    net.forward()
    drawn = {value.name: values(net.blobs[value.name]) for value in model.graph.input}  # by sources, while it ran
    sent = {**drawn, **sent}
    found = run_onnx(model, sent).items()
    return {name: (values(net.blobs[name.removesuffix("/output")]), array) for name, array in found}


def assert_agrees(net, feed=None, tolerance=1e-4, **options):
    """Every output is the same to 1e-4 of its largest value."""
    pairs = both(net, feed, **options)
    assert pairs
    for name, (here, there) in pairs.items():
        assert here.shape == there.shape, f"{name}: {there.shape}, expected {here.shape}"
        assert there.dtype == np.float32, name
        slack = tolerance * max(1.0, float(np.abs(here).max(initial=0)))
        np.testing.assert_allclose(there, here, rtol=tolerance, atol=slack, err_msg=name)
