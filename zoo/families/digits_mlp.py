"""Nets of fully connected layers for MNIST."""

from __future__ import annotations

from functools import partial

from layerforge.zoo.recipe import nets, solver
from layerforge.zoo.sketch import Sketch


def texts(name: str, hidden: tuple[int, ...], dropout: float = 0, activation: str = "ReLU", comment: str = "",
          **schedule: object) -> dict[str, str]:
    """The files of a model with hidden layers of these widths.

    dropout     behind each hidden layer; 0: none
    schedule    fields of the solver that differ
    """
    common: dict[str, object] = {
        "test_iter": [100], "test_interval": 500, "base_lr": 0.01, "lr_policy": "inv", "gamma": 0.0001, "power": 0.75,
        "momentum": 0.9, "weight_decay": 0.0005, "max_iter": 10000, "display": 100, "snapshot": 5000,
        "snapshot_prefix": name}
    comment = comment or "LeNet's schedule. The test takes 100 batches of 100: all 10,000 pictures."
    said = solver(comment, **common | schedule)
    made = partial(body, hidden=hidden, dropout=dropout, activation=activation)
    return nets(name, made, multipliers=((1, None), (2, None))) | {"solver.prototxt": said}


def body(n: Sketch, hidden: tuple[int, ...], dropout: float, activation: str) -> None:
    """From grey pictures of 28 × 28, scaled to 0 ... 1, to the digits."""
    x = n.pictures("mnist", (1, 28, 28), batch=64, test_batch=100, crop=False, mirror=False,
                   transform={"scale": 1 / 256}, name="mnist" if n.training else "data")
    for i, width in enumerate(hidden, start=1):
        x = n.relu(f"{activation.lower()}{i}", n.inner(f"ip{i}", x, width), activation)
        x = n.dropout(f"drop{i}", x, dropout) if dropout else x
    n.classify(n.inner(f"ip{len(hidden) + 1}", x, 10))
