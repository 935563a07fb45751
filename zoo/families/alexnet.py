"""AlexNet and CaffeNet: five convolutions, three fully connected layers (Krizhevsky et al. 2012).

They differ in the order of pooling and normalization, and in what half of the offsets start at.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from layerforge.zoo.recipe import imagenet_solver, nets
from layerforge.zoo.sketch import Sketch, Top

#       name    outputs kernel stride pad group  offset starts high
CONVS = {"1": (96, 11, 4, 0, 1, False), "2": (256, 5, 1, 2, 2, True), "3": (384, 3, 1, 1, 1, False),
         "4": (384, 3, 1, 1, 2, True), "5": (256, 3, 1, 1, 2, True)}


def texts(name: str, prefix: str, pool_first: bool, offset: float) -> dict[str, str]:
    """The files of a model.

    pool_first  pooling before normalization
    offset      what the offsets of conv2, conv4, conv5, fc6 and fc7 start at
    """
    comment = "AlexNet's schedule: batches of 256, a tenth of the rate every 100,000 iterations, 90 epochs."
    schedule = imagenet_solver(comment, prefix, base_lr=0.01, lr_policy="step", gamma=0.1, stepsize=100000,
                               max_iter=450000, weight_decay=0.0005, test_interval=1000, test_initialization=True,
                               average_loss=1)
    made = nets(name, partial(body, pool_first=pool_first, offset=offset), filler={"type": "gaussian", "std": 0.01})
    return made | {"solver.prototxt": schedule}


def body(
    n: Sketch, pool_first: bool, offset: float, normalize: bool = True,
    pictures: Callable[[Sketch], Top] = lambda n: n.imagenet(227, 256),
) -> None:
    """From pictures of 227 × 227 to the classes."""
    x = pictures(n)
    for i, (outputs, kernel, stride, pad, group, high) in CONVS.items():
        x = n.conv(f"conv{i}", x, outputs, kernel, stride, pad, group, offset=offset if high else 0)
        x = n.relu(f"relu{i}", x)
        if i in ("1", "2"):
            x = shrink(n, i, x, pool_first) if normalize else n.pool(f"pool{i}", x, "MAX", 3, 2)
    x = n.pool("pool5", x, "MAX", 3, 2)
    for i in ("6", "7"):
        x = n.inner(f"fc{i}", x, 4096, filler={"type": "gaussian", "std": 0.005}, offset=offset)
        x = n.dropout(f"drop{i}", n.relu(f"relu{i}", x))
    n.classify(n.inner("fc8", x, 1000), top5="accuracy_top5")


def shrink(n: Sketch, i: str, x: Top, pool_first: bool) -> Top:
    """Pooling and normalization, in either order."""
    if pool_first:
        return n.lrn(f"norm{i}", n.pool(f"pool{i}", x, "MAX", 3, 2))
    return n.pool(f"pool{i}", n.lrn(f"norm{i}", x), "MAX", 3, 2)
