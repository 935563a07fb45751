"""How the device judges an iteration: loss, clipping, what is skipped; and that update kernels obey it."""

import math

import numpy as np
import pytest
from cpu_kernels import CpuKernels, needs_compiler

from layerforge.backends import get_backend
from layerforge.backends.cupy import CupyOps, control
from layerforge.backends.cupy.control import Control
from layerforge.core.errors import DeviceError
from layerforge.core.storage import HOST
from layerforge.solver.rules import RULES

PLACES = [pytest.param(place, marks=[pytest.mark.gpu] if place == "gpu" else []) for place in ("cpu", "gpu")]


class Judged:
    """A Control, and arrays where it is."""

    def __init__(self, ops, memory):
        self.ops, self.memory = ops, memory
        self.control = Control(ops.kernels, memory)

    def put(self, *values, dtype=np.float32):
        array = self.memory.zeros(len(values), np.dtype(dtype))
        self.memory.from_host(np.array(values, dtype), array)
        return array

    def get(self, array):
        host = np.empty(array.size, array.dtype)
        self.memory.to_host(array, host)
        return host.tolist()

    def iteration(self, *losses, gradients=(), bound=-1.0, watch=True, weight=1.0):
        """One of as many batches as there are losses; returns the judgement."""
        self.control.begin()
        for loss in losses:
            self.control.add_losses([(self.put(loss), weight)])
        self.control.add_squares([self.put(*g) for g in gradients])
        self.control.judge(watch=watch, bound=bound, batches=len(losses))


@pytest.fixture(params=PLACES)
def judged(request):
    if request.param == "gpu":
        try:
            return Judged(get_backend("cupy").ops, get_backend("cupy").representation)
        except DeviceError as error:
            pytest.skip(f"no GPU: {error.message}")
    needs_compiler()
    return Judged(CupyOps(np, CpuKernels()), HOST)


def place(judged, number):
    return judged.get(judged.control.array)[number]


def test_loss_is_the_mean_over_the_batches(judged):
    judged.iteration(1.0, 2.0, 4.5, weight=2.0)
    (one,), halted = judged.control.read()
    assert (one.loss, one.norm, one.factor, one.moved, halted) == (5.0, 0.0, 1.0, True, False)
    assert place(judged, control.SCALE) == 1 / 3 and place(judged, control.MOVES) == 1


def test_losses_of_several_tops_are_weighted_and_summed(judged):
    judged.control.begin()
    tops = [(judged.put(*range(700)), 0.5), (judged.put(3.0, dtype=np.float64), 0.25)]
    judged.control.add_losses(tops)
    judged.control.judge(watch=True, bound=-1.0, batches=1)
    (one,), _ = judged.control.read()
    assert one.loss == 0.5 * sum(range(700)) + 0.25 * 3


def test_net_without_a_loss_moves_all_the_same(judged):
    judged.control.begin()
    judged.control.judge(watch=True, bound=-1.0, batches=1)
    assert judged.control.read()[0][-1] == control.Judgement(0.0, 0.0, 1.0, True)


def test_long_gradient_is_clipped(judged):
    judged.iteration(1.0, 1.0, gradients=[(3.0,), (0.0, 4.0)], bound=2.0)
    (one,), _ = judged.control.read()
    assert (one.norm, one.factor) == (5.0, 0.4) and place(judged, control.SCALE) == 0.4 / 2


def test_short_gradient_is_not_clipped(judged):
    judged.iteration(1.0, gradients=[(3.0, 4.0)], bound=5.0)
    (one,), _ = judged.control.read()
    assert (one.norm, one.factor) == (5.0, 1.0)


def test_gradient_that_is_not_finite_is_not_clipped(judged):
    judged.iteration(1.0, gradients=[(math.nan, 4.0)], bound=5.0)
    (one,), _ = judged.control.read()
    assert math.isnan(one.norm) and one.factor == 1.0 and one.moved


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_loss_that_is_not_finite_halts_the_run(judged, loss):
    judged.iteration(1.0)
    judged.iteration(loss)
    judged.iteration(1.0)  # is not judged any more
    found, halted = judged.control.read()
    assert halted and [one.moved for one in found] == [True, False]
    assert str(found[-1].loss) == str(loss)


def test_run_goes_on_when_the_host_has_looked(judged):
    judged.iteration(math.nan)
    assert judged.control.read()[1]
    judged.iteration(2.0)
    assert judged.control.read() == ([control.Judgement(2.0, 0.0, 1.0, True)], False)


def test_loss_that_nobody_watches_halts_nothing(judged):
    judged.iteration(math.inf, watch=False)
    (one,), halted = judged.control.read()
    assert one.moved and one.loss == math.inf and not halted


def test_overflow_skips_one_update(judged):
    judged.control.begin()
    judged.memory.from_host(np.ones(1), judged.control.array[control.OVERFLOWED : control.OVERFLOWED + 1])
    judged.control.judge(watch=True, bound=-1.0, batches=1)
    judged.iteration(1.0)
    found, halted = judged.control.read()
    assert [one.moved for one in found] == [False, True] and not halted


def test_loss_scale_is_taken_off_again(judged):
    judged.memory.from_host(np.full(1, 8.0), judged.control.array[control.LOSS_SCALE : control.LOSS_SCALE + 1])
    judged.iteration(1.0, gradients=[(24.0, 32.0)], bound=2.5)
    (one,), _ = judged.control.read()
    assert (one.loss, one.norm, one.factor) == (1.0, 5.0, 0.5) and place(judged, control.SCALE) == 0.5 / 8


def test_rows_are_used_in_turn(judged):
    for i in range(3):
        for k in range(judged.control.rows // 2):
            judged.iteration(float(i + k))
        found, _ = judged.control.read()
        assert [one.loss for one in found] == [i + k for k in range(judged.control.rows // 2)]


def test_halted_run_takes_no_batch_and_no_numbers(judged):
    x, even, odd = judged.put(0, 0), judged.put(1, 2), judged.put(3, 4)
    live, sent = judged.put(7, dtype=np.float64), judged.put(8, dtype=np.float64)
    judged.control.take_batch(x, even, odd, 1)
    assert judged.get(x) == [3, 4]
    judged.control.take_batch(x, even, odd, 2)
    assert judged.get(x) == [3, 4]
    judged.iteration(math.nan)
    judged.control.take_batch(x, even, odd, 0)
    judged.control.take_numbers(live, sent)
    assert judged.get(x) == [3, 4] and judged.get(live) == [7]
    judged.control.read()
    judged.control.take_batch(x, even, odd, 0)
    judged.control.take_numbers(live, sent)
    assert judged.get(x) == [1, 2] and judged.get(live) == [8]


UPDATES = {
    "SGD": ("update_sgd", 1, dict(momentum=0.9)),
    "Nesterov": ("update_nesterov", 1, dict(momentum=0.9)),
    "AdaGrad": ("update_adagrad", 1, dict(delta=1e-3)),
    "RMSProp": ("update_rmsprop", 1, dict(decay=0.98, delta=1e-3)),
    "AdaDelta": ("update_adadelta", 2, dict(decay=0.95, delta=1e-3)),
    "Adam": ("update_adam", 2, dict(correction=0.3, beta1=0.9, beta2=0.999, delta=1e-3)),
    "AdamW": ("update_adam", 2, dict(correction=0.3, beta1=0.9, beta2=0.999, delta=1e-3, decoupled=True)),
    "LARS": ("update_lars", 1, dict(momentum=0.9, eta=0.02)),
}


def test_every_rule_is_here():
    assert set(UPDATES) == {name for name, rule in RULES.items() if rule.__module__ == "layerforge.solver.rules"}


def updated(judged, rule, scale, **in_charge):
    """w, g and histories after an update from the same values."""
    method, histories, constants = UPDATES[rule]
    arrays = [judged.put(*np.linspace(0.1 * (i + 1), 1, 9)) for i in range(2 + histories)]
    before = [judged.get(a) for a in arrays]
    if in_charge:
        judged.iteration(1.0, 1.0, **in_charge)
        with judged.control.in_charge():
            getattr(judged.ops, method)(*arrays, lr=0.1, scale=scale, l2=0.01, **constants)
    else:
        getattr(judged.ops, method)(*arrays, lr=0.1, scale=scale, l2=0.01, **constants)
    return before, [judged.get(a) for a in arrays]


@pytest.mark.parametrize("rule", UPDATES)
def test_scale_of_the_judgement_takes_the_place_of_the_given_one(judged, rule):
    _, obeying = updated(judged, rule, 17.0, gradients=[(3.0, 4.0)], bound=2.0)
    _, told = updated(judged, rule, 0.4 / 2)
    assert obeying == told


@pytest.mark.parametrize("rule", UPDATES)
def test_nothing_moves_after_a_loss_that_is_not_finite(judged, rule):
    judged.iteration(math.nan)
    before, after = updated(judged, rule, 1.0, gradients=[(1.0,)])
    assert after == before


def scaled(judged, *gradient, patience=3.0, top=64.0):
    """An iteration under a loss scale; whether it moves, the scale and its good iterations afterwards."""
    judged.control.begin()
    judged.control.add_losses([(judged.put(1.0), 1.0)])
    judged.control.add_squares([judged.put(*gradient)])
    judged.control.judge(watch=True, bound=-1.0, batches=1, patience=patience, top=top)
    ((judgement,), halted) = judged.control.read()
    assert not halted
    return judgement.moved, *judged.control.loss_scale


def test_overflow_skips_the_update_and_halves_the_loss_scale(judged):
    judged.control.set_loss_scale(16.0, 2)
    assert scaled(judged, 1.0, math.inf) == (False, 8.0, 0)
    assert scaled(judged, math.nan) == (False, 4.0, 0)
    assert scaled(judged, 3.0) == (True, 4.0, 1)


def test_loss_scale_doubles_after_patience_up_to_the_top(judged):
    judged.control.set_loss_scale(32.0, 0)
    seen = [scaled(judged, 1.0) for _ in range(6)]
    assert seen == [(True, s, g) for s, g in ((32, 1), (32, 2), (64, 0), (64, 1), (64, 2), (64, 0))]


def test_loss_scale_is_at_least_one(judged):
    judged.control.set_loss_scale(1.0, 0)
    assert scaled(judged, math.inf) == (False, 1.0, 0)


def test_fixed_loss_scale_stays_and_skips_all_the_same(judged):
    judged.control.set_loss_scale(16.0, 0)
    assert scaled(judged, math.inf, patience=0.0) == (False, 16.0, 0)
    assert scaled(judged, 1.0, patience=0.0) == (True, 16.0, 0)


def test_gradients_are_divided_by_the_loss_scale_that_made_them(judged):
    judged.control.set_loss_scale(4.0, 2)
    scaled(judged, 8.0)
    assert place(judged, control.SCALE) == 0.25 and place(judged, control.LOSS_SCALE) == 8.0


def test_backward_begins_at_weight_times_loss_scale(judged):
    judged.control.set_loss_scale(16.0, 0)
    seeds = judged.put(0, 0), judged.put(0)
    judged.control.seed_losses([(seeds[0], 0.5), (seeds[1], 2.0)])
    assert [judged.get(dy) for dy in seeds] == [[8, 8], [32]]
