"""Inception-BN: GoogLeNet with batch normalization, and 5 × 5 convolutions as two of 3 × 3."""

from layerforge.zoo.recipe import imagenet_solver, nets
from layerforge.zoo.sketch import Sketch, Top

# 1×1, 3×3 reduced to, 3×3, double 3×3 reduced to, double 3×3, pooling, projected to. Modules without 1×1 halve the
# picture.
MODULES = {
    "3a": (64, 64, 64, 64, 96, "AVE", 32), "3b": (64, 64, 96, 64, 96, "AVE", 64), "3c": (0, 128, 160, 64, 96, "MAX", 0),
    "4a": (224, 64, 96, 96, 128, "AVE", 128), "4b": (192, 96, 128, 96, 128, "AVE", 128),
    "4c": (160, 128, 160, 128, 160, "AVE", 128), "4d": (96, 128, 192, 160, 192, "AVE", 128),
    "4e": (0, 128, 192, 192, 256, "MAX", 0), "5a": (352, 192, 320, 160, 224, "AVE", 128),
    "5b": (352, 192, 320, 192, 224, "MAX", 128),
}


def texts() -> dict[str, str]:
    comment = ("The paper gives the rate, 0.045, and says that it falls six times as fast as GoogLeNet's. Here it "
               "is batches of 32, the rate falling as the square root of what is left of 1,200,000 iterations (30 "
               "epochs).")
    schedule = imagenet_solver(comment, "inception_bn", base_lr=0.045, lr_policy="poly", power=0.5, max_iter=1200000,
                               weight_decay=0.0002)
    return nets("Inception-BN", body, filler="msra") | {"solver.prototxt": schedule}


def unit(n: Sketch, module: str, name: str, x: Top, outputs: int, kernel: int, stride: int = 1, relu: str = "") -> Top:
    """A convolution without offsets, normalized, and its activation."""
    full = f"{module}/{name}"
    x = n.conv(full, x, outputs, kernel, stride, kernel // 2, bias=False)
    return n.relu(f"{module}/{relu or 'relu_' + name}", n.norm((f"{full}/bn", f"{full}/bn/scale"), x))


def body(n: Sketch) -> None:
    """From pictures of 224 × 224 to the classes."""
    x = unit(n, "conv1", "7x7_s2", n.imagenet(224, 32), 64, 7, 2, relu="relu_7x7")
    x = n.pool("pool1/3x3_s2", x, "MAX", 3, 2)
    x = unit(n, "conv2", "3x3", unit(n, "conv2", "3x3_reduce", x, 64, 1), 192, 3)
    x = n.pool("pool2/3x3_s2", x, "MAX", 3, 2)
    for key, widths in MODULES.items():
        x = inception(n, f"inception_{key}", x, *widths)
    n.classify(n.inner("classifier", n.pool("pool5/7x7_s1", x, "AVE", 7), 1000), top5="accuracy_top5")


def inception(
    n: Sketch, name: str, x: Top, one: int, reduce3: int, three: int, reduce_double: int, double: int, method: str,
    projected: int,
) -> Top:
    """Ways side by side; without a 1 × 1 way all halve the picture, and the pooled way is not projected."""
    stride = 1 if one else 2
    ways = [unit(n, name, "1x1", x, one, 1)] if one else []
    ways.append(unit(n, name, "3x3", unit(n, name, "3x3_reduce", x, reduce3, 1), three, 3, stride))
    y = unit(n, name, "double3x3a", unit(n, name, "double3x3_reduce", x, reduce_double, 1), double, 3)
    ways.append(unit(n, name, "double3x3b", y, double, 3, stride))
    if one:
        ways.append(unit(n, name, "pool_proj", n.pool(f"{name}/pool", x, method, 3, 1, 1), projected, 1))
    else:
        ways.append(n.pool(f"{name}/pool/3x3_s2", x, method, 3, 2))
    return n.concat(f"{name}/output", *ways)
