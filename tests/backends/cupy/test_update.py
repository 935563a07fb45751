"""Update rules of the CuPy backend against NumPy's."""

import numpy as np
import pytest

RULES = {
    "update_sgd": (1, dict(lr=0.1, momentum=0.9)),
    "update_lars": (1, dict(lr=0.1, momentum=0.9, eta=0.02)),
    "update_nesterov": (1, dict(lr=0.1, momentum=0.9)),
    "update_adagrad": (1, dict(lr=0.1, delta=1e-3)),
    "update_rmsprop": (1, dict(lr=0.1, decay=0.98, delta=1e-3)),
    "update_adadelta": (2, dict(lr=0.7, decay=0.95, delta=1e-3)),
    "update_adam": (2, dict(lr=0.1, correction=0.3, beta1=0.9, beta2=0.999, delta=1e-3)),
}
DECAYS = [{}, {"scale": 0.5, "l2": 0.01}, {"scale": 2.0, "l1": 0.02}]


def parts(both, rule, count=700):
    """w, g and histories, which are no smaller than 0; one w is 0."""
    rng = np.random.default_rng(1)
    w, g = both.draw(rng, count), both.draw(rng, count)
    w[0] = 0
    return w, g, *(np.abs(both.draw(rng, count)) for _ in range(RULES[rule][0]))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("decay", DECAYS, ids=["plain", "L2", "L1"])
def test_rules_agree(both, rule, decay):
    both.compare(rule, *parts(both, rule), **RULES[rule][1], **decay)


@pytest.mark.parametrize("decay", DECAYS[1:], ids=["L2", "L1"])
def test_decay_beside_the_step_agrees(both, decay):
    both.compare("update_adam", *parts(both, "update_adam"), **RULES["update_adam"][1], **decay, decoupled=True)


def test_larger_rate_of_lars_is_clipped(both):
    both.compare("update_lars", *parts(both, "update_lars"), lr=1e-4, momentum=0.9, eta=0.02, clip=True)


@pytest.mark.parametrize("zero", [0, 1], ids=["weights", "gradients"])
def test_rate_of_lars_is_the_given_one_where_a_norm_is_0(both, zero):
    arrays = parts(both, "update_lars")
    arrays[zero][...] = 0
    both.compare("update_lars", *arrays, lr=0.1, momentum=0.9, eta=0.02)


def test_sum_of_squares_agrees(both):
    rng = np.random.default_rng(2)
    arrays = [both.draw(rng, 3, 4), both.draw(rng, 9000), both.draw(rng, 0), both.draw(rng, 1)]
    got = both.ops.sum_of_squares([both.on_device(x) for x in arrays])
    assert isinstance(got, float) and got == pytest.approx(both.numpy.sum_of_squares(arrays), rel=1e-5)
