"""LSTM, GRU and RNN with their products on the engine."""

import numpy as np
import pytest
from engines_compare import Pair

from layerforge.core.errors import DeviceError
from layerforge.core.storage import Traffic
from layerforge.engines.onednn import engine
from layerforge.engines.onednn.compiled import compiler
from layerforge.engines.onednn.lstm import Cell
from layerforge.engines.onednn.recurrent import Products
from layerforge.graph.explain import explain
from layerforge.netdef.types import Phase

try:
    from layerforge.engines.onednn.library import load

    load()
except DeviceError as error:
    pytest.skip(f"oneDNN is not here: {error}", allow_module_level=True)

COMPILED = pytest.mark.skipif(compiler() is None, reason="loops cannot be compiled here")
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


@pytest.mark.parametrize("d", [7, 16, 24, 33])
def test_rows_that_vectors_do_not_fill_agree(d):
    pair = Pair(text("LSTM", static=True).replace(f"num_output: {D}", f"num_output: {d}"))
    pair.run(cont=cont())
    pair.run(cont=cont(ones=True))


@pytest.mark.parametrize("exposed", [False, True])
def test_where_no_loop_can_be_compiled_the_cell_is_the_layers_own(exposed, monkeypatch):
    monkeypatch.setattr(engine, "compiler", lambda: None)
    pair = Pair(text("LSTM", static=True, exposed=exposed))
    assert isinstance(pair.engine.layer("r").ops, Products)
    pair.run(cont=cont())
    pair.run(cont=cont(ones=True))


@COMPILED
def test_the_gates_keep_what_float32_can_tell():
    x = np.concatenate([np.linspace(-90, 90, 4001), *(sign * np.logspace(-8, 2, 500) for sign in (1, -1)), [0]])
    x = x.astype(np.float32)
    sigmoids, tanhs = gates_of(x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(sigmoids, 1 / (1 + np.exp(-exact)), rtol=4e-7, atol=1e-37)
    np.testing.assert_allclose(tanhs, np.tanh(exact), rtol=2e-7)


@COMPILED
def test_the_gates_take_infinities_and_keep_nan():
    sigmoids, tanhs = gates_of(np.array([np.inf, -np.inf, np.nan], np.float32))
    np.testing.assert_allclose(sigmoids, [1, 0, np.nan], atol=1e-37)
    np.testing.assert_array_equal(tanhs, [1, -1, np.nan])


def gates_of(x):
    """The values of gate i and of gate g for these sums."""
    d, one = x.size, np.ones(1, np.float32)
    gates = np.tile(x, 4)
    rest = [np.zeros(d, np.float32) for _ in range(5)]
    Cell("lstm_forward", 1, d, 8).run(*(array.ctypes.data for array in (gates, *rest, one, one)))
    return gates[:d], gates[3 * d :]


@pytest.mark.parametrize("form", FORMS)
def test_changed_weights_are_seen(form):
    pair = Pair(text(form))
    pair.run(cont=cont())
    for net in pair.nets:
        for each in net.learnable:
            each.blob.data.set(each.blob.data.array() * 0.5)
    pair.run(cont=cont())


@pytest.mark.parametrize(
    ("form", "products"), [pytest.param("LSTM", 3, marks=COMPILED), ("RNN without an output product", 2)]
)
def test_the_plan_shows_the_products_and_counts_them(form, products):
    pair = Pair(text(form))
    (row,) = (row for row in explain(pair.engine.plan, pair.engine.layers) if row.types == (FORMS[form][0],))
    assert [kernel.run for kernel in row.kernels].count("forward") == products
    assert {kernel.name for kernel in row.kernels} <= {"matmul", "lstm_forward", "lstm_backward"}
    assert not any(kernel.impl.startswith("ref") for kernel in row.kernels)
    if form != "LSTM":
        return
    assert row.flops == 2 * T * N * 4 * D * (8 + D)
