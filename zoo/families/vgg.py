"""VGG: 3 × 3 convolutions in five stages, three fully connected layers (Simonyan and Zisserman 2014)."""

from __future__ import annotations

from functools import partial

from layerforge.zoo.recipe import imagenet_solver, nets
from layerforge.zoo.sketch import Sketch, Top

WIDTHS = (64, 128, 256, 512, 512)


def texts(name: str, prefix: str, depths: tuple[int, ...]) -> dict[str, str]:
    """The files of a model with so many convolutions in each stage."""
    comment = ("The paper's schedule: batches of 256 (8 times 32), a tenth of the rate whenever the validation "
               "accuracy stood still; that was three times in 370,000 iterations (74 epochs).")
    schedule = imagenet_solver(comment, prefix, base_lr=0.01, lr_policy="multistep", gamma=0.1, max_iter=370000,
                               stepvalue=[150000, 250000, 330000], weight_decay=0.0005, iter_size=8)
    return nets(name, partial(body, depths=depths)) | {"solver.prototxt": schedule}


def body(n: Sketch, depths: tuple[int, ...]) -> None:
    """From pictures of 224 × 224 to the classes."""
    x, _ = convolutions(n, n.imagenet(224, 32, mean=(103.939, 116.779, 123.68)), depths)
    for i in ("6", "7"):
        x = n.dropout(f"drop{i}", n.relu(f"relu{i}", n.inner(f"fc{i}", x, 4096)))
    n.classify(n.inner("fc8", x, 1000), top5="accuracy_top5")


def convolutions(n: Sketch, x: Top, depths: tuple[int, ...], first_pad: int = 1) -> tuple[Top, list[Top]]:
    """The five stages; returns the last pooling and all of them. first_pad: the padding of conv1_1."""
    poolings = []
    for stage, (width, depth) in enumerate(zip(WIDTHS, depths), start=1):
        for i in range(1, depth + 1):
            pad = first_pad if stage == i == 1 else 1
            x = n.relu(f"relu{stage}_{i}", n.conv(f"conv{stage}_{i}", x, width, 3, pad=pad))
        x = n.pool(f"pool{stage}", x, "MAX", 2, 2)
        poolings.append(x)
    return x, poolings
