"""Every rule in float64 against its formula written out plainly."""

import math

import numpy as np
import pytest

from layerforge.backends import get_backend
from layerforge.core.errors import NetError, PrototxtError
from layerforge.solver.params import SolverParams
from layerforge.solver.rules import RULES, Rule, Step, make_rule, register

ops = get_backend("numpy").ops
LR, MOMENTUM, MOMENTUM2, RMS_DECAY, DELTA, ETA = 0.1, 0.8, 0.95, 0.9, 1e-3, 0.02


def regularised(w, g, step):
    return step.scale * g + step.l2 * w + step.l1 * np.sign(w)


def sgd(w, g, h, step):
    h = MOMENTUM * h + step.lr * regularised(w, g, step)
    return w - h, h


def nesterov(w, g, h, step):
    new = MOMENTUM * h + step.lr * regularised(w, g, step)
    return w - ((1 + MOMENTUM) * new - MOMENTUM * h), new


def adagrad(w, g, h, step):
    g = regularised(w, g, step)
    h = h + g**2
    return w - step.lr * g / (np.sqrt(h) + DELTA), h


def rmsprop(w, g, h, step):
    g = regularised(w, g, step)
    h = RMS_DECAY * h + (1 - RMS_DECAY) * g**2
    return w - step.lr * g / (np.sqrt(h) + DELTA), h


def adadelta(w, g, h, u, step):
    g = regularised(w, g, step)
    h = MOMENTUM * h + (1 - MOMENTUM) * g**2
    d = g * np.sqrt((u + DELTA) / (h + DELTA))
    return w - step.lr * d, h, MOMENTUM * u + (1 - MOMENTUM) * d**2


def adam(w, g, m, v, step):
    g, t = regularised(w, g, step), step.iteration + 1
    m = MOMENTUM * m + (1 - MOMENTUM) * g
    v = MOMENTUM2 * v + (1 - MOMENTUM2) * g**2
    correction = math.sqrt(1 - MOMENTUM2**t) / (1 - MOMENTUM**t)
    return w - step.lr * correction * m / (np.sqrt(v) + DELTA), m, v


def adamw(w, g, m, v, step):
    moved, m, v = adam(w, g, m, v, Step(step.lr, step.iteration, MOMENTUM, step.scale))
    return moved - step.lr * (step.l2 * w + step.l1 * np.sign(w)), m, v


def lars(w, g, h, step):
    norm = np.linalg.norm
    ratio = ETA * norm(w) / (norm(step.scale * g) + step.l2 * norm(w))
    h = MOMENTUM * h + step.lr * ratio * regularised(w, g, step)
    return w - h, h


REFERENCES = {"SGD": sgd, "Nesterov": nesterov, "AdaGrad": adagrad, "RMSProp": rmsprop, "AdaDelta": adadelta,
              "Adam": adam, "AdamW": adamw, "LARS": lars}
STEPS = [dict(), dict(scale=0.3), dict(l2=0.05), dict(l1=0.05, scale=0.5)]


def params(kind, **fields):
    momentum = {} if kind in ("AdaGrad", "RMSProp") else {"momentum": MOMENTUM}
    return SolverParams(type=kind, momentum2=MOMENTUM2, rms_decay=RMS_DECAY, delta=DELTA, larc_eta=ETA,
                        **momentum, **fields)


def test_every_rule_has_a_reference():
    assert set(REFERENCES) == set(RULES)


@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.parametrize("kind", REFERENCES)
def test_four_updates_follow_the_formula(kind, step):
    rng = np.random.default_rng(1)
    rule = make_rule(params(kind))
    w = rng.normal(size=(5, 7))
    history = [np.zeros_like(w) for _ in range(rule.histories)]
    expected = [w.copy(), *(h.copy() for h in history)]
    for iteration in range(4):
        g = rng.normal(size=w.shape)
        this = Step(LR * (iteration + 1), iteration, MOMENTUM, **step)
        expected = REFERENCES[kind](expected[0], g, *expected[1:], this)
        rule.update(ops, w, g.copy(), history, this)
        for got, want in zip([w, *history], expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)


def test_lars_clip_bounds_the_rate_by_the_trust_ratio():
    w, g = np.array([3.0, 4.0]), np.array([0.0, 1.0])
    make_rule(params("LARS", larc_policy="clip")).update(ops, w, g, [np.zeros(2)], Step(lr=10.0))
    np.testing.assert_allclose(w, [3.0, 4.0 - ETA * 5])


def test_lars_takes_the_plain_rate_for_a_parameter_of_zeros():
    w, g = np.zeros(2), np.array([0.0, 1.0])
    make_rule(params("LARS")).update(ops, w, g, [np.zeros(2)], Step(lr=0.5))
    np.testing.assert_allclose(w, [0.0, -0.5])


@pytest.mark.parametrize("kind", ["AdaGrad", "RMSProp"])
def test_rules_without_momentum_refuse_one(kind):
    with pytest.raises(PrototxtError, match="takes none"):
        make_rule(SolverParams(type=kind, momentum=0.9))


@pytest.mark.parametrize(
    "kind, field", [("RMSProp", {"rms_decay": 1.0}), ("Adam", {"momentum": 1.0}), ("AdamW", {"momentum2": 1.5})]
)
def test_decays_outside_their_range_are_refused(kind, field):
    with pytest.raises(PrototxtError, match="must be at least 0, below 1"):
        make_rule(SolverParams(type=kind, **field))


def test_an_unknown_type_suggests_the_nearest():
    with pytest.raises(PrototxtError, match="did you mean 'Nesterov'"):
        make_rule(SolverParams(type="Nestrov"))


def test_a_plugin_adds_a_rule(monkeypatch):
    monkeypatch.setattr("layerforge.solver.rules.RULES", dict(RULES))

    @register
    class SignSGD(Rule):
        name, histories = "SignSGD", 0

        def update(self, ops, w, g, history, step):
            w -= step.lr * np.sign(g)

    w = np.zeros(2)
    make_rule(SolverParams(type="SignSGD")).update(ops, w, np.array([3.0, -2.0]), [], Step(lr=0.5))
    np.testing.assert_array_equal(w, [-0.5, 0.5])


def test_a_plugin_cannot_take_a_name_that_is_there():
    with pytest.raises(NetError, match="is taken"):
        register(type("Other", (Rule,), {"name": "SGD"}))
