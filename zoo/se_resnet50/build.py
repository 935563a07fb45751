"""SE-ResNet-50: residual blocks whose channels are weighted by what the whole picture shows."""

from layerforge.zoo.recipe import imagenet_solver, nets
from layerforge.zoo.sketch import Sketch, Top


def texts() -> dict[str, str]:
    comment = ("The paper's schedule: batches of 1,024 (32 times 32), 100 epochs, a tenth of the rate every 30. "
               "The first iterations may need a lower rate.")
    schedule = imagenet_solver(comment, "se_resnet50", base_lr=0.6, lr_policy="step", gamma=0.1, stepsize=37500,
                               max_iter=125000, weight_decay=0.0001, iter_size=32)
    return nets("SE-ResNet-50", body, filler="msra") | {"solver.prototxt": schedule}


def body(n: Sketch) -> None:
    """From pictures of 224 × 224 to the classes."""
    x = n.imagenet(224, 32)
    x = n.relu("conv1/relu_7x7_s2", unit(n, "conv1/7x7_s2", x, 64, 7, 2))
    x = n.pool("pool1/3x3_s2", x, "MAX", 3, 2)
    for stage, depth in ((2, 3), (3, 4), (4, 6), (5, 3)):
        width = 64 * 2 ** (stage - 2)
        for i in range(1, depth + 1):
            x = block(n, f"conv{stage}_{i}", x, width, 2 if i == 1 and stage > 2 else 1, project=i == 1)
    n.classify(n.inner("classifier", n.pool("pool5/7x7_s1", x, "AVE", 7), 1000), top5="accuracy_top5")


def block(n: Sketch, name: str, x: Top, width: int, stride: int, project: bool) -> Top:
    """1 × 1, 3 × 3, 1 × 1; then each channel times a weight between 0 and 1, plus the shortcut."""
    y = n.relu(f"{name}_1x1_reduce/relu", unit(n, f"{name}_1x1_reduce", x, width, 1, stride))
    y = n.relu(f"{name}_3x3/relu", unit(n, f"{name}_3x3", y, width, 3))
    y = unit(n, f"{name}_1x1_increase", y, 4 * width, 1)
    weights = n.conv(f"{name}_1x1_down", n.pool(f"{name}_global_pool", y, "AVE"), width // 4, 1)
    weights = n.conv(f"{name}_1x1_up", n.relu(f"{name}_1x1_down/relu", weights), 4 * width, 1)
    weights = n.relu(f"{name}_prob", weights, "Sigmoid")
    shortcut = unit(n, f"{name}_1x1_proj", x, 4 * width, 1, stride) if project else x
    return n.relu(f"{name}/relu", n.layer("Axpy", name, weights, y, shortcut))


def unit(n: Sketch, name: str, x: Top, outputs: int, kernel: int, stride: int = 1) -> Top:
    """A convolution without offsets, normalized."""
    x = n.conv(name, x, outputs, kernel, stride, kernel // 2, bias=False)
    return n.norm((f"{name}/bn", f"{name}/bn/scale"), x)
