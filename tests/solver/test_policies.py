"""Every policy against its formula."""

import math

import pytest

from layerforge.core.errors import PrototxtError
from layerforge.solver.params import SolverParams
from layerforge.solver.policies import POLICIES, learning_rate, make_policy, momentum, weight_decay

BASE = 0.2


def policy(name, **fields):
    return make_policy(SolverParams(lr_policy=name, base_lr=BASE, **fields))


CASES = {
    "fixed": (dict(), lambda i: BASE),
    "step": (dict(gamma=0.5, stepsize=3), lambda i: BASE * 0.5 ** (i // 3)),
    "exp": (dict(gamma=0.9), lambda i: BASE * 0.9**i),
    "inv": (dict(gamma=0.1, power=0.75), lambda i: BASE * (1 + 0.1 * i) ** -0.75),
    "multistep": (dict(gamma=0.3, stepvalue=(2, 5, 6)), lambda i: BASE * 0.3 ** sum(i >= v for v in (2, 5, 6))),
    "poly": (dict(power=1.5, max_iter=20), lambda i: BASE * (1 - i / 20) ** 1.5),
    "sigmoid": (dict(gamma=0.8, stepsize=4), lambda i: BASE / (1 + math.exp(-0.8 * (i - 4)))),
    "cosine": (dict(max_iter=10, min_lr=0.02), lambda i: 0.02 + 0.18 * (1 + math.cos(math.pi * i / 10)) / 2),
    "plateau": (dict(gamma=0.1, plateau_winsize=(3, 2)), lambda i: BASE * 0.1 ** ((i >= 3) + (i >= 5))),
}


def test_every_policy_has_a_case():
    assert set(CASES) == set(POLICIES)


@pytest.mark.parametrize("name", CASES)
def test_the_rate_follows_the_formula(name):
    fields, formula = CASES[name]
    p = policy(name, **fields)
    for i in range(10):
        p.advance(i, loss=1.0)
        assert learning_rate(p, i) == pytest.approx(formula(i), rel=1e-12)


def test_asking_for_the_rate_changes_nothing():
    p = policy("multistep", gamma=0.1, stepvalue=(2, 2))
    assert [p.rate(2), p.rate(2), p.current_step] == pytest.approx([BASE / 10, BASE / 10, 0])


@pytest.mark.parametrize("name", CASES)
def test_warm_up_runs_before_any_policy(name):
    fields, _ = CASES[name]
    p = policy(name, **fields, warmup_iter=4, warmup_start_lr=0.04)
    assert [learning_rate(p, i) for i in range(4)] == pytest.approx([0.04, 0.08, 0.12, 0.16])
    assert learning_rate(p, 4) == max(p.rate(4), p.params.min_lr)


def test_cosine_starts_at_base_lr_after_the_warm_up_and_ends_at_min_lr():
    p = policy("cosine", max_iter=10, warmup_iter=4, min_lr=0.01)
    assert learning_rate(p, 4) == pytest.approx(BASE)
    assert learning_rate(p, 10) == pytest.approx(0.01)


def test_equal_stepvalues_take_effect_one_iteration_apart():
    p = policy("multistep", gamma=0.1, stepvalue=(2, 2))
    rates = []
    for i in range(5):
        p.advance(i, loss=1.0)
        rates.append(p.rate(i))
    assert rates == pytest.approx([BASE, BASE, BASE / 10, BASE / 100, BASE / 100])


def test_multistep_says_when_it_steps():
    p = policy("multistep", gamma=0.1, stepvalue=(2,))
    assert [p.advance(i, loss=1.0) for i in range(3)] == [None, None, "MultiStep Status: Iteration 2, step = 1"]


def test_a_plateau_ends_with_a_new_lowest_loss():
    p = policy("plateau", gamma=0.1, plateau_winsize=(2,))
    for i, loss in enumerate([3.0, 2.0, 2.5, 1.0, 1.5]):
        p.advance(i, loss)
    assert p.current_step == 0
    p.advance(5, 1.2)
    assert p.current_step == 1


def test_a_plateau_policy_goes_on_from_its_state():
    first, second = (policy("plateau", gamma=0.1, plateau_winsize=(3,)) for _ in range(2))
    first.advance(0, 1.0)
    second.load_state(first.state())
    for p in (first, second):
        p.advance(3, 2.0)
    assert first.current_step == second.current_step == 1


def test_extreme_rates_do_not_overflow():
    assert policy("sigmoid", gamma=1.0, stepsize=100000).rate(0) == 0
    assert policy("exp", gamma=10.0).rate(100000) == math.inf
    assert policy("poly", power=0.5, max_iter=10).rate(20) == 0


def test_the_rate_stays_above_min_lr():
    assert learning_rate(policy("exp", gamma=0.1, min_lr=0.05), 9) == 0.05


@pytest.mark.parametrize(
    "name, field", [("step", "stepsize"), ("sigmoid", "stepsize"), ("poly", "max_iter"), ("plateau", "plateau_winsize")]
)
def test_a_missing_field_is_named(name, field):
    with pytest.raises(PrototxtError, match=f"needs {field}"):
        policy(name)


def test_a_negative_gamma_is_refused():
    with pytest.raises(PrototxtError, match="gamma: -1"):
        policy("exp", gamma=-1.0)


def test_an_unknown_policy_suggests_the_nearest():
    with pytest.raises(PrototxtError, match="did you mean 'multistep'"):
        policy("multi_step")


def test_a_missing_policy_is_said_to_be_missing():
    with pytest.raises(PrototxtError, match="lr_policy is missing"):
        make_policy(SolverParams(base_lr=0.1))


def test_nvcaffes_ramp_is_quadratic():
    p = policy("fixed", rampup_interval=4, rampup_lr=0.04)
    assert [learning_rate(p, i) for i in range(5)] == pytest.approx([0.04, 0.05, 0.08, 0.13, 0.2])


def test_momentum_may_grow_towards_a_maximum():
    p = SolverParams(momentum=0.5, momentum_policy="poly", max_momentum=0.9, momentum_power=2.0, max_iter=10)
    assert [momentum(p, i, 0.1) for i in (0, 5, 10)] == pytest.approx([0.5, 0.6, 0.9])


def test_momentum_may_follow_the_rate():
    assert momentum(SolverParams(momentum_policy="opt"), 3, rate=0.04) == pytest.approx(0.81)


def test_weight_decay_may_grow():
    p = SolverParams(weight_decay=0.1, weight_decay_policy="poly", max_weight_decay=0.3, max_iter=4)
    assert weight_decay(p, 2) == pytest.approx(0.2)
