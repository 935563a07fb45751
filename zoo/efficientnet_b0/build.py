"""EfficientNet-B0: MobileNet v2's blocks with weighted channels and Swish."""

from layerforge.zoo.recipe import imagenet_solver, nets
from layerforge.zoo.sketch import Sketch, Top

#         expansion outputs kernel stride blocks
STAGES = ((1, 16, 3, 1, 1), (6, 24, 3, 2, 2), (6, 40, 5, 2, 2), (6, 80, 3, 2, 3), (6, 112, 5, 1, 3), (6, 192, 5, 2, 4),
          (6, 320, 3, 1, 1))


def texts() -> dict[str, str]:
    comment = ("The paper trains with RMSProp and momentum, which Caffe's RMSProp refuses, and with pictures "
               "changed at random. This is SGD in batches of 256 (4 times 64) for 500,000 iterations (100 epochs), "
               "the rate falling in a straight line.")
    schedule = imagenet_solver(comment, "efficientnet_b0", base_lr=0.1, lr_policy="poly", power=1, max_iter=500000,
                               weight_decay=0.00001, iter_size=4)
    return nets("EfficientNet-B0", body, filler="msra") | {"solver.prototxt": schedule}


def body(n: Sketch) -> None:
    """From pictures of 224 × 224, scaled by 0.017, to the classes."""
    x = n.imagenet(224, 64, mean=(103.94, 116.78, 123.68), scale=0.017)
    x, channels = unit(n, "stem", x, 32, 3, 2), 32
    for stage, (expansion, outputs, kernel, stride, depth) in enumerate(STAGES, start=1):
        for i in range(1, depth + 1):
            first = stride if i == 1 else 1
            y = block(n, f"block{stage}_{i}", x, channels, expansion, outputs, kernel, first)
            x = n.add(f"block{stage}_{i}/sum", x, y) if first == 1 and channels == outputs else y
            channels = outputs
    x = n.dropout("drop", n.pool("pool", unit(n, "head", x, 1280, 1), "AVE"), 0.2)
    n.classify(n.inner("classifier", x, 1000), top5="accuracy_top5")


def block(n: Sketch, m: str, x: Top, channels: int, expansion: int, outputs: int, kernel: int, stride: int) -> Top:
    """Expand, filter each channel alone, weight the channels, project."""
    inside = channels * expansion
    y = unit(n, f"{m}/expand", x, inside, 1) if expansion > 1 else x
    y = unit(n, f"{m}/dwise", y, inside, kernel, stride, inside)
    y = weighted(n, f"{m}/se", y, inside, channels // 4)
    return unit(n, f"{m}/project", y, outputs, 1, active=False)


def weighted(n: Sketch, m: str, x: Top, channels: int, squeezed: int) -> Top:
    """Each channel times a weight between 0 and 1 that the whole picture decides."""
    y = n.relu(f"{m}/swish", n.conv(f"{m}/squeeze", n.pool(f"{m}/pool", x, "AVE"), squeezed, 1), "Swish")
    y = n.relu(f"{m}/sigmoid", n.conv(f"{m}/expand", y, channels, 1), "Sigmoid")
    weights = n.layer("Flatten", f"{m}/weights", y)  # (N, C): Scale spreads it over the picture
    return n.layer("Scale", f"{m}/scaled", x, weights, scale_param={"axis": 0})


def unit(
    n: Sketch, name: str, x: Top, outputs: int, kernel: int, stride: int = 1, group: int = 1, active: bool = True,
) -> Top:
    """A convolution without offsets, normalized, and its activation."""
    x = n.conv(name, x, outputs, kernel, stride, kernel // 2, group, bias=False)
    x = n.norm((f"{name}/bn", f"{name}/scale"), x)
    return n.relu(f"{name}/swish", x, "Swish") if active else x
