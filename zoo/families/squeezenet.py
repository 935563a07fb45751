"""SqueezeNet: modules that squeeze to few channels and expand by 1 × 1 and 3 × 3 side by side (Iandola et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from layerforge.zoo.recipe import imagenet_solver, nets
from layerforge.zoo.sketch import Sketch, Top

# Module → its few channels; it expands to eight times as many.
SQUEEZED = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}


def texts(prefix: str, first: Mapping[str, int], pools: tuple[int, ...], last_pad: int) -> dict[str, str]:
    """The files of a model.

    first     outputs and kernel of the first convolution
    pools     the modules that a pooling follows
    last_pad  the padding of the last convolution
    """
    comment = "The authors' schedule: batches of 512 (16 times 32), the rate falls in a straight line."
    schedule = imagenet_solver(comment, prefix, base_lr=0.04, lr_policy="poly", power=1, max_iter=170000,
                               weight_decay=0.0002, iter_size=16, test_interval=1000, display=40, average_loss=40,
                               random_seed=42)
    made = nets("SqueezeNet", partial(body, first=first, pools=pools, last_pad=last_pad), multipliers=())
    return made | {"solver.prototxt": schedule}


def body(n: Sketch, first: Mapping[str, int], pools: tuple[int, ...], last_pad: int) -> None:
    """From pictures to the classes."""
    x = n.relu("relu_conv1", n.conv("conv1", n.imagenet(227, 32), stride=2, **first))
    x = n.pool("pool1", x, "MAX", 3, 2)
    for module, squeezed in SQUEEZED.items():
        x = fire(n, f"fire{module}", x, squeezed)
        if module in pools:
            x = n.pool(f"pool{module}", x, "MAX", 3, 2)
    x = n.dropout("drop9", x)
    x = n.conv("conv10", x, 1000, 1, pad=last_pad, filler={"type": "gaussian", "std": 0.01})
    n.classify(n.pool("pool10", n.relu("relu_conv10", x), "AVE"), top5="accuracy_top5")


def fire(n: Sketch, name: str, x: Top, squeezed: int) -> Top:
    """Squeeze, then expand twice, side by side."""
    x = unit(n, f"{name}", "squeeze1x1", x, squeezed, 1)
    return n.concat(f"{name}/concat", unit(n, name, "expand1x1", x, 4 * squeezed, 1),
                    unit(n, name, "expand3x3", x, 4 * squeezed, 3))


def unit(n: Sketch, module: str, name: str, x: Top, outputs: int, kernel: int) -> Top:
    """A convolution and its activation."""
    return n.relu(f"{module}/relu_{name}", n.conv(f"{module}/{name}", x, outputs, kernel, pad=kernel // 2))
