"""Recurrent layers: a Scan over the time steps, in whose body stand Caffe's formulas, with `cont` and all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from layerforge.io.onnx.graph import Builder, Call, converts, package

Step = Callable[[Builder, Sequence[str], str, str], tuple[list[str], str]]
"""(builder, states, gates of the step, cont (N, 1)) → (next states, output)"""


@converts("LSTM")
def lstm(g: Builder, call: Call) -> list[str]:
    d, weights = call.params.num_output, g.weight("h", call.blobs[-1].T)

    def step(body: Builder, states: Sequence[str], gates: str, cont: str) -> tuple[list[str], str]:
        before, cell = states
        gates = body.node("Add", gates, body.node("MatMul", body.node("Mul", before, cont), weights))
        i, f, o, c = body.several("Split", [gates, body.ints([d] * 4)], 4, axis=1)
        f = body.node("Mul", body.node("Sigmoid", f), cont)
        new = body.node("Mul", body.node("Sigmoid", i), body.node("Tanh", c))
        cell = body.node("Add", body.node("Mul", f, cell), new)
        h = body.node("Mul", body.node("Sigmoid", o), body.node("Tanh", cell))
        return [h, cell], body.node("Identity", h)

    return _scan(g, call, step, 2)


@converts("RNN")
def rnn(g: Builder, call: Call) -> list[str]:
    k = call.layer.first_state
    weights = g.weight("h", call.blobs[k].T)

    def step(body: Builder, states: Sequence[str], gates: str, cont: str) -> tuple[list[str], str]:
        before = body.node("Mul", states[0], cont)
        h = body.node("Tanh", body.node("Add", gates, body.node("MatMul", before, weights)))
        return [h], body.node("Identity", h)

    y, *last = _scan(g, call, step, 1)
    if not call.params.tf_rnn:
        y = g.node("MatMul", y, g.weight("o", call.blobs[k + 1].T))
        y = g.node("Tanh", g.node("Add", y, g.weight("bo", call.blobs[k + 2])))
    return [y, *last]


@converts("GRU")
def gru(g: Builder, call: Call) -> list[str]:
    d, linear, k = call.params.num_output, call.layer.linear, call.layer.state_index
    z_weights, r_weights, n_weights = (g.weight(name, call.blobs[k + i].T) for i, name in enumerate("zrn"))
    offset = g.weight("bn", call.blobs[k + 3]) if linear else ""

    def step(body: Builder, states: Sequence[str], gates: str, cont: str) -> tuple[list[str], str]:
        old = body.node("Mul", states[0], cont)
        z, r, n = body.several("Split", [gates, body.ints([d] * 3)], 3, axis=1)
        z = body.node("Sigmoid", body.node("Add", z, body.node("MatMul", old, z_weights)))
        r = body.node("Sigmoid", body.node("Add", r, body.node("MatMul", old, r_weights)))
        if linear:
            term = body.node("Mul", body.node("Add", body.node("MatMul", old, n_weights), offset), r)
        else:
            term = body.node("MatMul", body.node("Mul", old, r), n_weights)
        n = body.node("Tanh", body.node("Add", n, term))
        h = body.node("Add", body.node("Mul", body.node("Sub", old, n), z), n)
        return [h], body.node("Identity", h)

    return _scan(g, call, step, 1)


def _scan(g: Builder, call: Call, step: Step, states: int) -> list[str]:
    """h of all steps (T, N, D), and the last states (1, N, D) where they are exposed."""
    layer, shape = call.layer, call.bottoms[0]
    t, n = shape[:2]
    d, wide = call.params.num_output, layer.rows * call.params.num_output
    gates = g.node("MatMul", g.reshape(call.x[0], (t, n, layer.inner)), g.weight("x", call.blobs[0].T))
    gates = g.node("Add", gates, g.weight("b", call.blobs[1]))
    if layer.static:
        static = g.node("Flatten", call.x[2], axis=1)
        gates = g.node("Add", gates, g.node("MatMul", static, g.weight("s", call.blobs[2].T)))
    if layer.exposed:
        first = [g.node("Squeeze", x, g.ints([0])) for x in call.x[-states:]]
    else:
        first = [g.const([[0.0] * d] * n)] * states
    body = _body(g, step, states, (n, d), wide)
    made = g.several("Scan", [*first, gates, g.unsqueeze(call.x[1], [2])], states + 1, body=body, num_scan_inputs=2)
    last = [g.unsqueeze(state, [0]) for state in made[:states]] if layer.exposed else []
    return [made[-1], *last]


def _body(g: Builder, step: Step, states: int, shape: tuple[int, int], wide: int) -> object:
    """The graph of one step: states, gates (N, wide) and cont (N, 1) in; states and output out."""
    helper, real = package("onnx.helper"), package().TensorProto.FLOAT
    body, name = g.child(), g.fresh(f"{g.scope}/step")
    before = [body.fresh(f"{name}/state") for _ in range(states)]
    gates, cont = body.fresh(f"{name}/gates"), body.fresh(f"{name}/cont")
    after, y = step(body, before, gates, cont)

    def told(names: Sequence[str], sizes: Sequence[int]) -> list[object]:
        return [helper.make_tensor_value_info(each, real, list(sizes)) for each in names]

    inputs = [*told(before, shape), *told([gates], (shape[0], wide)), *told([cont], (shape[0], 1))]
    return helper.make_graph(body.protos(), name, inputs, told([*after, y], shape))
