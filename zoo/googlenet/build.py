"""GoogLeNet, as the Caffe project trained it: nine Inception modules, two auxiliary classifiers in training."""

from layerforge.zoo.recipe import imagenet_solver, nets
from layerforge.zoo.sketch import Sketch, Top

# 1×1, 3×3 reduced to, 3×3, 5×5 reduced to, 5×5, pooled and projected to
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64), "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}
AUXILIARY = {"4a": "loss1", "4d": "loss2"}
POOLED = {"3b": "pool3/3x3_s2", "4e": "pool4/3x3_s2"}


def texts() -> dict[str, str]:
    comment = ("The schedule of the published weights: batches of 32, the rate falls as the square root of what is "
               "left of 2,400,000 iterations (60 epochs). The paper's own takes 4 % off the rate every 8 epochs, "
               "for 250 epochs: lr_policy step, gamma 0.96, stepsize 320000, max_iter 10000000.")
    schedule = imagenet_solver(comment, "googlenet", base_lr=0.01, lr_policy="poly", power=0.5, max_iter=2400000,
                               weight_decay=0.0002, test_interval=4000, display=40, average_loss=40, snapshot=40000)
    return nets("GoogleNet", body, offset=0.2) | {"solver.prototxt": schedule}


def body(n: Sketch) -> None:
    """From pictures of 224 × 224 to the classes."""
    x = n.imagenet(224, 32)
    x = unit(n, "conv1", "7x7_s2", x, 64, 7, 2, 3, relu="relu_7x7")
    x = n.lrn("pool1/norm1", n.pool("pool1/3x3_s2", x, "MAX", 3, 2))
    x = unit(n, "conv2", "3x3", unit(n, "conv2", "3x3_reduce", x, 64, 1), 192, 3, pad=1)
    x = n.pool("pool2/3x3_s2", n.lrn("conv2/norm2", x), "MAX", 3, 2)
    for key, widths in MODULES.items():
        x = inception(n, f"inception_{key}", x, widths)
        if key in AUXILIARY and n.training:
            auxiliary(n, AUXILIARY[key], x)
        if key in POOLED:
            x = n.pool(POOLED[key], x, "MAX", 3, 2)
    x = n.dropout("pool5/drop_7x7_s1", n.pool("pool5/7x7_s1", x, "AVE", 7), 0.4)
    scores = n.inner("loss3/classifier", x, 1000, offset=0)
    n.classify(scores, loss="loss3/loss3", top1="loss3/top-1", top5="loss3/top-5", weight=1)


def unit(n: Sketch, module: str, name: str, x: Top, outputs: int, kernel: int, stride: int = 1, pad: int = 0,
         relu: str = "") -> Top:
    """A convolution and its activation."""
    return n.relu(f"{module}/{relu or 'relu_' + name}", n.conv(f"{module}/{name}", x, outputs, kernel, stride, pad))


def inception(n: Sketch, name: str, x: Top, widths: tuple[int, ...]) -> Top:
    """Four ways side by side."""
    one, reduce3, three, reduce5, five, projected = widths
    ways = [
        unit(n, name, "1x1", x, one, 1),
        unit(n, name, "3x3", unit(n, name, "3x3_reduce", x, reduce3, 1), three, 3, pad=1),
        unit(n, name, "5x5", unit(n, name, "5x5_reduce", x, reduce5, 1), five, 5, pad=2),
        unit(n, name, "pool_proj", n.pool(f"{name}/pool", x, "MAX", 3, 1, 1), projected, 1),
    ]
    return n.concat(f"{name}/output", *ways)


def auxiliary(n: Sketch, name: str, x: Top) -> None:
    """A classifier half way up, whose loss counts 0.3."""
    x = unit(n, name, "conv", n.pool(f"{name}/ave_pool", x, "AVE", 5, 3), 128, 1)
    x = n.dropout(f"{name}/drop_fc", n.relu(f"{name}/relu_fc", n.inner(f"{name}/fc", x, 1024)), 0.7)
    scores = n.inner(f"{name}/classifier", x, 1000, offset=0)
    n.classify(scores, loss=f"{name}/loss", top=f"{name}/{name}", top1=f"{name}/top-1", top5=f"{name}/top-5",
               weight=0.3)
