"""MobileNet v2: blocks that expand, filter each channel alone, and project without an activation."""

from layerforge.zoo.recipe import imagenet_solver, nets
from layerforge.zoo.sketch import Sketch, Top

# Block: expansion, outputs, stride. Numbers go on where only the width changes. The published net halves the picture
# before the 96 channels; the paper does before the 64.
BLOCKS = {"2_1": (1, 16, 1), "2_2": (6, 24, 2), "3_1": (6, 24, 1), "3_2": (6, 32, 2), "4_1": (6, 32, 1),
          "4_2": (6, 32, 1), "4_3": (6, 64, 1), "4_4": (6, 64, 1), "4_5": (6, 64, 1), "4_6": (6, 64, 1),
          "4_7": (6, 96, 2),
          "5_1": (6, 96, 1), "5_2": (6, 96, 1), "5_3": (6, 160, 2), "6_1": (6, 160, 1), "6_2": (6, 160, 1),
          "6_3": (6, 320, 1)}


def texts() -> dict[str, str]:
    comment = ("The paper trains with RMSProp and momentum, which Caffe's RMSProp refuses. This is SGD in batches "
               "of 256 (4 times 64) for 500,000 iterations (100 epochs), the rate falling in a straight line.")
    schedule = imagenet_solver(comment, "mobilenet_v2", base_lr=0.1, lr_policy="poly", power=1, max_iter=500000,
                               weight_decay=0.00004, iter_size=4)
    return nets("MOBILENET_V2", body, filler="msra") | {"solver.prototxt": schedule}


def unit(n: Sketch, name: str, x: Top, outputs: int, kernel: int, stride: int = 1, group: int = 1) -> Top:
    """A convolution without offsets, normalized."""
    x = n.conv(name, x, outputs, kernel, stride, kernel // 2, group, bias=False)
    return n.norm((f"{name}/bn", f"{name}/scale"), x, in_place=False)


def body(n: Sketch) -> None:
    """From pictures of 224 × 224, scaled by 0.017, to the classes."""
    x = n.imagenet(224, 64, mean=(103.94, 116.78, 123.68), scale=0.017)
    x, channels = n.relu("relu1", unit(n, "conv1", x, 32, 3, 2)), 32
    for block, (expansion, outputs, stride) in BLOCKS.items():
        inside = channels * expansion
        y = n.relu(f"relu{block}/expand", unit(n, f"conv{block}/expand", x, inside, 1))
        y = n.relu(f"relu{block}/dwise", unit(n, f"conv{block}/dwise", y, inside, 3, stride, inside))
        y = unit(n, f"conv{block}/linear", y, outputs, 1)
        x = n.layer("Eltwise", f"block_{block}", x, y) if stride == 1 and channels == outputs else y
        channels = outputs
    x = n.relu("relu6_4", unit(n, "conv6_4", x, 1280, 1))
    n.classify(n.conv("fc7", n.pool("pool6", x, "AVE"), 1000, 1), top5="accuracy_top5")
