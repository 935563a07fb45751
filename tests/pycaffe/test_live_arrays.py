"""Arrays that were handed out stay live in both directions, wherever the values lie."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest

import layerforge as caffe
from layerforge.core.host_view import HostView

from .conftest import SMALL, feed

pytestmark = pytest.mark.usefixtures("anywhere")


FORMS = {
    "itself": lambda array: array,
    "slice": lambda array: array[1:],
    "row": lambda array: array[1],
    "flat": lambda array: array.reshape(-1),
    "transposed": lambda array: array.T,
    "view": lambda array: array.view(),
    "nested": lambda array: array.reshape(-1)[3:].reshape(-1, 1)[::2],
    "memoryview": memoryview,
}
"""What scripts make of an array without a copy."""


def held(net, blob, form):
    """One form of a blob's array, and nothing else of it."""
    made = FORMS[form](net.blobs[blob].data)
    gc.collect()
    return made


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_into_a_held_input_reaches_every_forward(small, make_net, form):
    def losses(write):
        net = make_net()
        feed(net)
        kept = held(net, "data", form)
        for value in (0.5, -0.25, 2.0):
            write(net, kept, value)
            yield float(net.forward()["loss"])

    def through_the_held_array(net, kept, value):
        np.asarray(kept)[...] = value

    def through_a_new_one(net, kept, value):
        np.asarray(held(net, "data", form))[...] = value

    got = list(losses(through_the_held_array))
    assert got == list(losses(through_a_new_one)) and len(set(got)) == 3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("blob", ["conv", "pool", "ip"])
def test_a_held_output_shows_every_forward(small, blob, form):
    small.forward()
    y = held(small, blob, form)
    before = np.array(y)
    feed(small, seed=6)
    small.forward()
    want = FORMS[form](small.blobs[blob].data.copy())
    np.testing.assert_array_equal(np.asarray(y), np.asarray(want))
    assert (np.asarray(y) != before).any()


@pytest.mark.parametrize("blob", ["data", "conv", "pool", "ip"])
def test_a_held_gradient_shows_every_backward(small, blob):
    small.forward()
    dx = small.blobs[blob].diff[:]
    small.backward()
    first = dx.copy()
    assert first.any()
    feed(small, seed=6)
    small.forward()
    small.backward()
    assert (dx != first).any()
    np.testing.assert_array_equal(dx, small.blobs[blob].diff)


def test_a_held_output_gradient_goes_down_with_every_backward(make_net):
    net = make_net(SMALL[: SMALL.index('layer { name: "loss"')])
    feed(net)
    net.forward()
    dy, dx = net.blobs["ip"].diff.reshape(-1), net.blobs["data"].diff
    dy[...] = 1
    net.backward()
    first = dx.copy()
    dy[...] = -2
    net.backward()
    np.testing.assert_allclose(dx, -2 * first, rtol=1e-5)


def test_held_parameters_follow_the_solver(make_solver):
    solver = make_solver()
    w, b = solver.net.params["conv"][0].data, solver.net.params["ip"][1].data[1:]
    before = w.copy(), b.copy()
    solver.step(2)
    assert (w != before[0]).any() and (b != before[1]).any()
    np.testing.assert_array_equal(w, solver.net.params["conv"][0].data)


def test_what_is_written_into_held_parameters_counts_in_the_next_step(make_solver):
    def run(write):
        solver = make_solver()
        w = solver.net.params["ip"][0].data
        solver.step(1)
        write(solver, w)
        solver.step(1)
        return w.copy()

    def through_the_held_array(solver, w):
        w[...] = 0.125

    def through_a_new_one(solver, w):
        del w
        solver.net.params["ip"][0].data[...] = 0.125

    np.testing.assert_array_equal(run(through_the_held_array), run(through_a_new_one))


def test_gradients_that_a_callback_writes_into_a_held_array_are_what_moves_the_parameters(make_solver):
    solver = make_solver()
    w, g = solver.net.params["ip"][0].data, solver.net.params["ip"][0].diff
    solver.add_callback(lambda: None, lambda: g.fill(2))
    before = w.copy()
    solver.step(1)
    np.testing.assert_allclose(before - w, 0.1 * 2, rtol=1e-5)


def test_a_held_gradient_is_zero_when_an_iteration_starts(make_solver):
    solver = make_solver()
    g, seen = solver.net.params["conv"][0].diff[0], []
    solver.add_callback(lambda: seen.append(g.any()), lambda: seen.append(g.any()))
    solver.step(2)
    assert seen == [False, True, False, True]


def test_clear_param_diffs_reaches_held_arrays(small):
    g = small.params["conv"][0].diff[1:]
    small.forward()
    small.backward()
    assert g.any()
    small.clear_param_diffs()
    assert not g.any()


def test_parameters_of_a_test_net_that_shares_them_are_live(make_solver):
    solver = make_solver("test_iter: 1 test_interval: 100")
    w = solver.test_nets[0].params["conv"][0].data
    before = w.copy()
    solver.step(1)
    assert (w != before).any()
    np.testing.assert_array_equal(w, solver.net.params["conv"][0].data)


def test_loaded_weights_show_in_held_arrays(small):
    w = small.params["conv"][0].data[...]
    small.save("small.caffemodel")
    saved = w.copy()
    w[...] = 7
    small.copy_from("small.caffemodel")
    np.testing.assert_array_equal(w, saved)


def test_what_is_written_into_held_parameters_is_saved(small, make_net):
    w = small.params["ip"][1].data
    small.forward()
    w[...] = range(5)
    small.save("small.caffemodel")
    other = make_net(weights="small.caffemodel")
    assert other.params["ip"][1].data.tolist() == [0, 1, 2, 3, 4]


def test_hooks_see_and_change_held_arrays(small):
    y, seen = small.blobs["pool"].data, {}
    names = list(small.layer_dict)

    def after(index):
        if names[index] == "pool":
            seen["pool"] = y.copy()
            y[...] = 0

    plain = small.forward()["loss"].copy()
    pooled = y.copy()
    small.after_forward(after)
    loss = small.forward()["loss"]
    np.testing.assert_allclose(seen["pool"], pooled, rtol=1e-5)
    assert loss == pytest.approx(np.log(5), rel=1e-5) and loss != plain  # all scores are 0


def test_a_python_layer_sees_and_changes_held_arrays(make_net, write):
    write("peeps.py", """
class Peep:
    seen, held = [], None
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top):
        Peep.seen.append(Peep.held.copy())
        top[0].data[...] = bottom[0].data
        Peep.held[...] = 0
    def backward(self, top, propagate_down, bottom): bottom[0].diff[...] = top[0].diff
""")
    text = SMALL.replace('bottom: "pool" top: "ip"', 'bottom: "peep" top: "ip"')
    peep = ('layer { name: "peep" type: "Python" bottom: "pool" top: "peep" '
            'python_param { module: "peeps" layer: "Peep" } }\n')
    net = make_net(text.replace('layer { name: "ip"', peep + 'layer { name: "ip"'))
    peep_class = sys.modules.pop("peeps").Peep
    peep_class.held = net.params["ip"][0].data
    w = peep_class.held.copy()
    feed(net)
    assert net.forward()["loss"] == pytest.approx(np.log(5), rel=1e-5)
    np.testing.assert_array_equal(peep_class.seen[0], w)


def test_arrays_are_up_to_date_after_a_pass_that_failed(small):
    y = small.blobs["conv"].data
    before = y.copy()

    def fail(index):
        if index == len(small.layers) - 2:
            raise KeyError("as raised")

    small.before_forward(fail)
    feed(small, seed=6)
    with pytest.raises(KeyError, match="as raised"):
        small.forward()
    assert (y != before).any()
    np.testing.assert_array_equal(y, small.blobs["conv"].data)


def test_arrays_survive_their_net(make_net):
    net = make_net()
    feed(net)
    net.forward()
    y, w = net.blobs["conv"].data[1:], net.params["ip"][0].data
    values = y.copy(), w.copy()
    del net
    gc.collect()
    np.zeros(10**6).sum()  # memory that was freed would be used again
    np.testing.assert_array_equal(y, values[0])
    np.testing.assert_array_equal(w, values[1])
    y[...] = 0


def test_nothing_is_converted_when_nothing_is_held(make_solver):
    solver = make_solver()
    net = solver.net._net
    solver.step(1)
    gc.collect()
    assert net._lent() == []
    w = solver.net.params["conv"][0].data[0]
    assert net._lent() == [net.params["conv"][0].data]
    del w
    assert net._lent() == []


def test_an_array_of_an_input_that_grew_keeps_its_values_and_is_let_go(small):
    x = small.blobs["data"].data
    old = x.copy()
    small.blobs["data"].reshape(4, 3, 8, 8)
    small.blobs["label"].reshape(4)
    feed(small, seed=6)
    small.forward()
    np.testing.assert_array_equal(x, old)
    assert small.blobs["data"].data.shape == (4, 3, 8, 8)


def test_an_array_of_an_input_that_shrank_is_the_same_memory(small):
    x = small.blobs["data"].data
    small.blobs["data"].reshape(1, 3, 8, 8)
    small.blobs["label"].reshape(1)
    small.blobs["data"].data[...] = 4
    assert (x[0] == 4).all()
    x[0] = 5
    small.forward()
    assert (small.blobs["data"].data == 5).all()


def test_a_blob_is_a_host_view():
    assert caffe.Blob is HostView
