"""LSTM, GRU and RNN with their products on the engine."""

import numpy as np
import pytest
from engines_compare import Pair

from layerforge.core.errors import DeviceError
from layerforge.core.storage import Traffic
from layerforge.graph.explain import explain
from layerforge.netdef.types import Phase

try:
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)

T, N, D = 5, 3, 7
FILL = 'weight_filler { type: "gaussian" std: 0.4 } bias_filler { type: "gaussian" std: 0.4 }'
FORMS = {
    "LSTM": ("LSTM", ""),
    "RNN": ("RNN", ""),
    "RNN without an output product": ("RNN", "tf_rnn: true"),
    "GRU": ("GRU", ""),
    "GRU, reset behind its product": ("GRU", "linear_before_reset: 1"),
}


def text(form, static=False, exposed=False, below=False):
    kind, fields = FORMS[form]
    states = 2 if kind == "LSTM" else 1
    inputs = {"x": (T, N, 4, 2), "cont": (T, N)}
    bottoms, tops = ["x", "cont"], ["y"]
    if static:
        inputs["s"] = (N, 6)
        bottoms.append("s")
    if exposed:
        for k in range(states):
            inputs[f"h{k}"] = (1, N, D)
            bottoms.append(f"h{k}")
            tops.append(f"g{k}")
    lines = [
        f'layer {{ name: "{name}" type: "Input" top: "{name}" '
        f'input_param {{ shape {{ {" ".join(f"dim: {n}" for n in shape)} }} }} }}'
        for name, shape in inputs.items()
    ]
    ends = " ".join(f'bottom: "{b}"' for b in bottoms) + " " + " ".join(f'top: "{t}"' for t in tops)
    downs = " ".join(f"propagate_down: {str(b != 'cont').lower()}" for b in bottoms)
    more = f"{'expose_hidden: true' if exposed else ''} {fields}"
    lines.append(
        f'layer {{ name: "r" type: "{kind}" {ends} {downs} recurrent_param {{ num_output: {D} {FILL} {more} }} }}'
    )
    return 'name: "net" force_backward: true ' + "\n".join(lines)


def cont(ones=False):
    flags = np.ones((T, N))
    if not ones:
        flags[0], flags[2, 1], flags[3, 2] = 0, 0, 0
    return flags


@pytest.mark.parametrize("keep", ["all", "outputs"])
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("exposed", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_it_agrees_with_the_layers_own_products(form, exposed, static, keep):
    pair = Pair(text(form, static, exposed), keep=keep)
    assert pair.lowered()["r"] == "ONEDNN", pair.refusals()
    for ones in (False, True):  # the second pass goes on with the states of the first
        pair.run(cont=cont(ones))
    if keep == "all":
        pair.backward(clear=False)


@pytest.mark.parametrize("form", FORMS)
def test_no_product_is_left_to_the_blas(form, monkeypatch):
    pair = Pair(text(form, static=True))
    pair.run(cont=cont())

    def none(*_, **__):
        raise AssertionError("a product that was not planned")

    monkeypatch.setattr("layerforge.backends.numpy.linear.NumpyLinearOps.matmul", none)
    pair.feed(cont=cont())
    pair.engine.forward()
    pair.engine.backward()


def test_other_numbers_of_steps_and_streams_are_planned_anew():
    pair = Pair(text("LSTM"))
    for t, n in ((T, N), (2, 4), (T, N), (1, 1)):
        for net in pair.nets:
            net.blobs["x"].reshape((t, n, 4, 2))
            net.blobs["cont"].reshape((t, n))
        pair.run(cont=np.ones((t, n)))
        assert pair.lowered()["r"] == "ONEDNN"


def test_weights_that_stay_are_brought_into_order_once():
    pair = Pair(text("LSTM"), Phase.TEST)
    pair.forward(cont=cont())
    before = Traffic.copies
    pair.engine.forward()
    assert Traffic.copies == before


@pytest.mark.parametrize("form", FORMS)
def test_changed_weights_are_seen(form):
    pair = Pair(text(form))
    pair.run(cont=cont())
    for net in pair.nets:
        for each in net.learnable:
            each.blob.data.set(each.blob.data.array() * 0.5)
    pair.run(cont=cont())


@pytest.mark.parametrize(("form", "products"), [("LSTM", 4), ("RNN without an output product", 2)])
def test_the_plan_shows_the_products_and_counts_them(form, products):
    pair = Pair(text(form))
    (row,) = (row for row in explain(pair.engine.plan, pair.engine.layers) if row.types == (FORMS[form][0],))
    assert [kernel.run for kernel in row.kernels].count("forward") == products
    assert {kernel.name for kernel in row.kernels} <= {"matmul", "eltwise_backward"}
    assert not any(kernel.impl.startswith("ref") for kernel in row.kernels)
    if form != "LSTM":
        return
    assert row.flops == 2 * T * N * 4 * D * (8 + D)
