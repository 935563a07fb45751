"""DenseNet: every layer reads all layers before it in its block (Huang et al. 2016), with growth 32."""

from __future__ import annotations

from functools import partial

from layerforge.zoo.recipe import imagenet_solver, nets
from layerforge.zoo.sketch import Sketch, Top

GROWTH = 32


def texts(depth: int, layers: tuple[int, ...], slashed: bool = False) -> dict[str, str]:
    """The files of a model with so many layers in each block.

    slashed  transitions are named conv2_6/blk, as in the published DenseNet-201, and not conv2_blk
    """
    comment = "The paper's schedule: batches of 256 (8 times 32), 90 epochs, a tenth of the rate every 30."
    schedule = imagenet_solver(comment, f"densenet{depth}", base_lr=0.1, lr_policy="step", gamma=0.1, stepsize=150000,
                               max_iter=450000, weight_decay=0.0001, iter_size=8)
    made = nets(f"DENSENET_{depth}", partial(body, layers=layers, slashed=slashed), filler="msra")
    return made | {"solver.prototxt": schedule}


def body(n: Sketch, layers: tuple[int, ...], slashed: bool) -> None:
    """From pictures of 224 × 224, scaled by 0.017, to the classes."""
    x = n.imagenet(224, 32, mean=(103.94, 116.78, 123.68), scale=0.017)
    x = active(n, "conv1", "relu1", n.conv("conv1", x, 64, 7, 2, 3, bias=False))
    x, channels = n.pool("pool1", x, "MAX", 3, 2, 1, round_mode="FLOOR"), 64
    for block, depth in enumerate(layers, start=2):
        for i in range(1, depth + 1):
            x = n.concat(f"concat_{block}_{i}", x, grow(n, f"{block}_{i}", x))
        channels += GROWTH * depth
        end = f"{block}_{depth}/blk" if slashed else f"{block}_blk"
        x = active(n, f"conv{end}", f"relu{end}", x)
        if block < len(layers) + 1:
            channels //= 2
            x = n.conv(f"conv{end}", x, channels, 1, bias=False)
            x = n.pool(f"pool{end.removesuffix('/blk').removesuffix('_blk')}", x, "AVE", 2, 2)
    n.classify(n.conv("fc6", n.pool(f"pool{len(layers) + 1}", x, "AVE"), 1000, 1), top5="accuracy_top5")


def grow(n: Sketch, name: str, x: Top) -> Top:
    """1 × 1 to four times the growth, 3 × 3 to the growth; normalized before each."""
    x = n.conv(f"conv{name}/x1", active(n, f"conv{name}/x1", f"relu{name}/x1", x), 4 * GROWTH, 1, bias=False)
    return n.conv(f"conv{name}/x2", active(n, f"conv{name}/x2", f"relu{name}/x2", x), GROWTH, 3, pad=1, bias=False)


def active(n: Sketch, name: str, relu: str, x: Top) -> Top:
    """Normalized and cut at 0; what is read elsewhere too stays as it is."""
    return n.relu(relu, n.norm((f"{name}/bn", f"{name}/scale"), x, in_place=False))
