"""ResNeXt-50 32×4d: residual blocks whose 3 × 3 convolution has 32 groups."""

from layerforge.zoo.recipe import imagenet_solver, nets
from layerforge.zoo.sketch import Sketch, Top


def texts() -> dict[str, str]:
    comment = "The paper's schedule: batches of 256 (8 times 32), 90 epochs, a tenth of the rate every 30."
    schedule = imagenet_solver(comment, "resnext50", base_lr=0.1, lr_policy="step", gamma=0.1, stepsize=150000,
                               max_iter=450000, weight_decay=0.0001, iter_size=8)
    return nets("ResNeXt-50", body, filler="msra") | {"solver.prototxt": schedule}


def body(n: Sketch) -> None:
    """From pictures of 224 × 224, scaled by 0.017, to the classes."""
    x = n.imagenet(224, 32, mean=(103.52, 116.28, 123.675), scale=0.017)
    x = n.relu("conv1_relu", unit(n, "conv1", x, 64, 7, 2))
    x = n.pool("pool1", x, "MAX", 3, 2, 1, round_mode="FLOOR")
    number = 0
    for width, depth in ((128, 3), (256, 4), (512, 6), (1024, 3)):
        for i in range(depth):
            number += 1
            x = block(n, f"resx{number}", x, width, 2 if i == 0 and width > 128 else 1, project=i == 0)
    n.classify(n.inner("classifier", n.pool("pool_ave", x, "AVE"), 1000), top5="accuracy_top5")


def block(n: Sketch, name: str, x: Top, width: int, stride: int, project: bool) -> Top:
    y = n.relu(f"{name}_conv1_relu", unit(n, f"{name}_conv1", x, width, 1))
    y = n.relu(f"{name}_conv2_relu", unit(n, f"{name}_conv2", y, width, 3, stride, 32))
    y = unit(n, f"{name}_conv3", y, 2 * width, 1)
    shortcut = unit(n, f"{name}_match_conv", x, 2 * width, 1, stride) if project else x
    return n.relu(f"{name}_elewise_relu", n.add(f"{name}_elewise", shortcut, y))


def unit(n: Sketch, name: str, x: Top, outputs: int, kernel: int, stride: int = 1, group: int = 1) -> Top:
    """A convolution without offsets, normalized."""
    x = n.conv(name, x, outputs, kernel, stride, kernel // 2, group, bias=False)
    return n.norm((f"{name}_bn", f"{name}_scale"), x)
