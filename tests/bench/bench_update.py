"""Update rules: nanoseconds per parameter, beside PyTorch's optimizers where there are such."""

import timeit

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from layerforge.backends import get_backend
from layerforge.solver.params import SolverParams
from layerforge.solver.rules import RULES, Step, make_rule

RNG = np.random.default_rng(0)
OPTIMIZERS = {
    "SGD": ("SGD", dict(momentum=0.9)), "Nesterov": ("SGD", dict(momentum=0.9, nesterov=True)),
    "AdaGrad": ("Adagrad", {}), "RMSProp": ("RMSprop", {}), "AdaDelta": ("Adadelta", {}), "Adam": ("Adam", {}),
    "AdamW": ("AdamW", {}),
}


def seconds(function):
    """Of the fastest of a few calls; the first also loads what is late."""
    return min(timeit.repeat(function, number=1, repeat=6)[1:])


def torch_seconds(kind, values):
    """One step of the PyTorch optimizer of this rule, or None."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    if kind not in OPTIMIZERS:
        return None
    name, options = OPTIMIZERS[kind]
    w = torch.nn.Parameter(torch.from_numpy(values.copy()))
    w.grad = torch.from_numpy(values.copy())
    return seconds(getattr(torch.optim, name)([w], lr=0.01, weight_decay=5e-4, **options).step)


@pytest.mark.parametrize("count", [500_000, 10_000_000])
@pytest.mark.parametrize("kind", RULES)
def test_update(kind, count):
    ops = get_backend("numpy").ops
    rule = make_rule(SolverParams(type=kind))
    values = RNG.normal(size=count).astype(np.float32)
    w, g, *history = (values.copy() for _ in range(2 + rule.histories))
    history = [abs(h) for h in history]
    with threadpool_limits(1):
        ours = seconds(lambda: rule.update(ops, w, g, history, Step(lr=0.01, momentum=0.9, l2=5e-4)))
        theirs = torch_seconds(kind, values)
    beside = f"   PyTorch {theirs / count * 1e9:6.2f}" if theirs else ""
    print(f"\n{kind:10}{count:10}  {ours / count * 1e9:6.2f} ns/parameter{beside}", end="")
