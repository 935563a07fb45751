"""Residual nets on ImageNet (He et al. 2015), with the layer names of the authors' weights.

The first stage's shortcut is a projection in all of them. The stride of a stage is in its first 1 × 1 convolution, as
in the authors' weights; others have it in the 3 × 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from layerforge.zoo.recipe import imagenet_solver, nets
from layerforge.zoo.sketch import Sketch, Top

Branch = Callable[[Sketch, str, Top, int, int], Top]


def texts(
    name: str, prefix: str, depths: Sequence[int], branch: Branch, expansion: int, *, numbered: bool = False,
    published_offsets: bool = False,
) -> dict[str, str]:
    """The files of a model.

    depths      blocks in each stage
    branch      makes the residual of a block: from n, the block's name, x, width and stride
    expansion   a stage's outputs for each channel of its width
    numbered    stages of more than three blocks are a, b1, b2 ... and not a, b, c ...
    published_offsets   the authors' weights have offsets in conv1, which --stage published adds
    """
    comment = ("The paper's schedule: batches of 256 (8 times 32), 600,000 iterations, a tenth of the rate when "
               "the error stands still.")
    schedule = imagenet_solver(comment, prefix, base_lr=0.1, lr_policy="multistep", gamma=0.1, max_iter=600000,
                               stepvalue=[150000, 300000, 450000], weight_decay=0.0001, iter_size=8)
    made = partial(body, depths=depths, branch=branch, expansion=expansion, numbered=numbered,
                   published=published_offsets)
    return nets(name, made, filler="msra") | {"solver.prototxt": schedule}


def body(n: Sketch, depths: Sequence[int], branch: Branch, expansion: int, numbered: bool, published: bool) -> None:
    """From pictures of 224 × 224 to the classes."""
    x = n.imagenet(224, 32)
    first = {"num_output": 64, "kernel_size": 7, "stride": 2, "pad": 3}
    rules = {"exclude": {"stage": "published"}} if published else {}
    made = n.conv("conv1", x, 64, 7, 2, 3, bias=False, **rules)
    if published:
        n.again("Convolution", "conv1", ["conv1"], x, convolution_param=first, include={"stage": "published"})
    x = made
    x = n.relu("conv1_relu", n.norm(("bn_conv1", "scale_conv1"), x))
    x = n.pool("pool1", x, "MAX", 3, 2)
    for stage, depth in enumerate(depths, start=2):
        width = 64 * 2 ** (stage - 2)
        for i, letter in enumerate(letters(depth, numbered)):
            block = f"{stage}{letter}"
            stride = 2 if i == 0 and stage > 2 else 1
            shortcut = x if i else unit(n, f"{block}_branch1", x, width * expansion, 1, stride)
            residual = branch(n, block, x, width, stride)
            x = n.relu(f"res{block}_relu", n.add(f"res{block}", shortcut, residual))
    n.classify(n.inner("fc1000", n.pool("pool5", x, "AVE", 7), 1000), top5="accuracy_top5")


def letters(depth: int, numbered: bool) -> Iterator[str]:
    """What the blocks of a stage are called."""
    yield from (["a", *(f"b{i}" for i in range(1, depth))] if numbered and depth > 3 else "abcdef"[:depth])


def unit(n: Sketch, name: str, x: Top, outputs: int, kernel: int, stride: int = 1, group: int = 1) -> Top:
    """A convolution without offsets, normalized."""
    x = n.conv(f"res{name}", x, outputs, kernel, stride, kernel // 2, group, bias=False)
    return n.norm((f"bn{name}", f"scale{name}"), x)


def basic(n: Sketch, block: str, x: Top, width: int, stride: int) -> Top:
    """Two 3 × 3 convolutions."""
    x = n.relu(f"res{block}_branch2a_relu", unit(n, f"{block}_branch2a", x, width, 3, stride))
    return unit(n, f"{block}_branch2b", x, width, 3)


def bottleneck(n: Sketch, block: str, x: Top, width: int, stride: int) -> Top:
    """1 × 1 down, 3 × 3, 1 × 1 up to four times the width."""
    x = n.relu(f"res{block}_branch2a_relu", unit(n, f"{block}_branch2a", x, width, 1, stride))
    x = n.relu(f"res{block}_branch2b_relu", unit(n, f"{block}_branch2b", x, width, 3))
    return unit(n, f"{block}_branch2c", x, 4 * width, 1)
