"""Residual nets for pictures of 32 × 32 (He et al. 2015, section 4.2): 6 n + 2 layers, shortcuts without parameters."""

from __future__ import annotations

from functools import partial

from layerforge.zoo.recipe import nets, solver
from layerforge.zoo.sketch import Sketch, Top


def texts(depth: int) -> dict[str, str]:
    """The files of a model of so many layers."""
    comment = ("The paper's schedule: batches of 128, a tenth of the rate after 32,000 and 48,000 iterations (82 "
               "and 123 epochs).")
    schedule = solver(comment, test_iter=[100], test_interval=500, base_lr=0.1, lr_policy="multistep", gamma=0.1,
                      stepvalue=[32000, 48000], momentum=0.9, weight_decay=0.0001, max_iter=64000, display=100,
                      snapshot=16000, snapshot_prefix=f"resnet{depth}")
    made = nets(f"ResNet-{depth}", partial(body, blocks=(depth - 2) // 6), filler="msra")
    return made | {"solver.prototxt": schedule}


def body(n: Sketch, blocks: int) -> None:
    """From pictures of 32 × 32 without their mean to the classes, in three stages of so many blocks."""
    x = n.pictures("cifar10", (3, 32, 32), batch=128, test_batch=100, crop=False,
                   transform={"mean_file": "cifar10_mean.binaryproto"})
    x = n.relu("conv1_relu", unit(n, "conv1", x, 16))
    for stage, width in ((2, 16), (3, 32), (4, 64)):
        for i in range(1, blocks + 1):
            x = block(n, f"res{stage}_{i}", x, width, halve=i == 1 and stage > 2)
    n.classify(n.inner("fc", n.pool("pool", x, "AVE"), 10))


def block(n: Sketch, name: str, x: Top, width: int, halve: bool) -> Top:
    """Two 3 × 3 convolutions.

    Where the picture is halved, the shortcut takes every other pixel and adds channels of 0.
    """
    y = n.relu(f"{name}_conv1_relu", unit(n, f"{name}_conv1", x, width, 2 if halve else 1))
    y = unit(n, f"{name}_conv2", y, width)
    if halve:
        half = n.pool(f"{name}_half", x, "MAX", 1, 2, round_mode="FLOOR")
        zeros = n.layer("Power", f"{name}_zeros", half, power_param={"scale": 0}, propagate_down=False)
        x = n.concat(f"{name}_shortcut", half, zeros)
    return n.relu(f"{name}_relu", n.add(name, x, y))


def unit(n: Sketch, name: str, x: Top, outputs: int, stride: int = 1) -> Top:
    """A 3 × 3 convolution without offsets, normalized."""
    return n.norm((f"{name}_bn", f"{name}_scale"), n.conv(name, x, outputs, 3, stride, 1, bias=False))
