"""MobileNet v1: 3 × 3 convolutions of each channel alone, and 1 × 1 convolutions that mix channels."""

from layerforge.zoo.recipe import imagenet_solver, nets
from layerforge.zoo.sketch import Sketch, Top

#          block   outputs stride
BLOCKS = {"2_1": (64, 1), "2_2": (128, 2), "3_1": (128, 1), "3_2": (256, 2), "4_1": (256, 1), "4_2": (512, 2),
          "5_1": (512, 1), "5_2": (512, 1), "5_3": (512, 1), "5_4": (512, 1), "5_5": (512, 1), "5_6": (1024, 2),
          "6": (1024, 1)}


def texts() -> dict[str, str]:
    comment = ("The paper says little of its schedule (RMSProp, little decay). This one is SGD in batches of 256 "
               "(4 times 64) for 500,000 iterations (100 epochs), the rate falling in a straight line.")
    schedule = imagenet_solver(comment, "mobilenet_v1", base_lr=0.1, lr_policy="poly", power=1, max_iter=500000,
                               weight_decay=0.00004, iter_size=4)
    return nets("MOBILENET", body, filler="msra") | {"solver.prototxt": schedule}


def unit(n: Sketch, name: str, relu: str, x: Top, outputs: int, kernel: int, stride: int = 1, group: int = 1) -> Top:
    """A convolution without offsets, normalized, and its activation."""
    x = n.conv(name, x, outputs, kernel, stride, kernel // 2, group, bias=False)
    return n.relu(relu, n.norm((f"{name}/bn", f"{name}/scale"), x))


def body(n: Sketch) -> None:
    """From pictures of 224 × 224, scaled by 0.017, to the classes."""
    x = n.imagenet(224, 64, mean=(103.94, 116.78, 123.68), scale=0.017)
    x, channels = unit(n, "conv1", "relu1", x, 32, 3, 2), 32
    for block, (outputs, stride) in BLOCKS.items():
        x = unit(n, f"conv{block}/dw", f"relu{block}/dw", x, channels, 3, stride, channels)
        x = unit(n, f"conv{block}/sep", f"relu{block}/sep", x, outputs, 1)
        channels = outputs
    n.classify(n.conv("fc7", n.pool("pool6", x, "AVE"), 1000, 1), top5="accuracy_top5")
