"""ShuffleNet v1, width 1, three groups: grouped 1 × 1 convolutions with a shuffle of channels between."""

from layerforge.zoo.recipe import imagenet_solver, nets
from layerforge.zoo.sketch import Sketch, Top

GROUPS = 3
STAGES = ((240, 4), (480, 8), (960, 4))  # outputs, blocks


def texts() -> dict[str, str]:
    comment = ("The paper's schedule: batches of 1,024 (16 times 64), 300,000 iterations, the rate falling in a "
               "straight line.")
    schedule = imagenet_solver(comment, "shufflenet_v1", base_lr=0.5, lr_policy="poly", power=1, max_iter=300000,
                               weight_decay=0.00004, iter_size=16)
    return nets("shufflenet", body, filler="msra") | {"solver.prototxt": schedule}


def body(n: Sketch) -> None:
    """From pictures of 224 × 224, scaled by 0.017, to the classes."""
    x = n.imagenet(224, 64, mean=(103.94, 116.78, 123.68), scale=0.017)
    x = n.relu("conv1_relu", unit(n, "conv1", x, 24, 3, 2))
    x, channels, number = n.pool("pool1", x, "MAX", 3, 2), 24, 0
    for outputs, depth in STAGES:
        for i in range(depth):
            number += 1
            x = block(n, number, x, channels, outputs, halve=i == 0)
            channels = outputs
    n.classify(n.conv("fc1000", n.pool("pool_ave", x, "AVE"), 1000, 1), top5="accuracy_top5")


def block(n: Sketch, number: int, x: Top, channels: int, outputs: int, halve: bool) -> Top:
    """1 × 1 in groups, shuffle, 3 × 3 of each channel alone, 1 × 1 in groups.

    Where the picture is halved, the channels made stand beside those of the pooled input.
    """
    name, made = f"resx{number}", outputs - channels if halve else outputs
    y = unit(n, f"{name}_conv1", x, made // 4, 1, group=1 if number == 1 else GROUPS)
    y = n.relu(f"{name}_conv1_relu", y)
    if number > 1:
        y = n.layer("ShuffleChannel", f"shuffle{number}", y, shuffle_channel_param={"group": GROUPS})
    y = unit(n, f"{name}_conv2", y, made // 4, 3, 2 if halve else 1, made // 4)
    y = unit(n, f"{name}_conv3", y, made, 1, group=GROUPS)
    if halve:
        x = n.pool(f"{name}_match_conv", x, "AVE", 3, 2)
        return n.relu(f"{name}_concat_relu", n.concat(f"{name}_concat", x, y))
    return n.relu(f"{name}_elewise_relu", n.add(f"{name}_elewise", x, y))


def unit(n: Sketch, name: str, x: Top, outputs: int, kernel: int, stride: int = 1, group: int = 1) -> Top:
    """A convolution without offsets, normalized."""
    x = n.conv(name, x, outputs, kernel, stride, kernel // 2, group, bias=False)
    return n.norm((f"{name}_bn", f"{name}_scale"), x)
