"""Network in Network on ImageNet: each convolution is followed by two of 1 × 1, and averages are the scores."""

from layerforge.zoo.recipe import imagenet_solver, nets
from layerforge.zoo.sketch import Sketch

# convolution (outputs, kernel, stride, pad), its two 1 × 1 convolutions (outputs), their ReLUs, the pooling
STAGES = (
    ("conv1", (96, 11, 4, 0), ("cccp1", 96), ("cccp2", 96), (0, 1, 2), "pool0"),
    ("conv2", (256, 5, 1, 2), ("cccp3", 256), ("cccp4", 256), (3, 5, 6), "pool2"),
    ("conv3", (384, 3, 1, 1), ("cccp5", 384), ("cccp6", 384), (7, 8, 9), "pool3"),
    ("conv4-1024", (1024, 3, 1, 1), ("cccp7-1024", 1024), ("cccp8-1024", 1000), (10, 11, 12), ""),
)


def texts() -> dict[str, str]:
    comment = "The author's schedule: batches of 64, a tenth of the rate every 200,000 iterations."
    schedule = imagenet_solver(comment, "nin", base_lr=0.01, lr_policy="step", gamma=0.1, stepsize=200000,
                               max_iter=450000, weight_decay=0.0005, test_interval=1000)
    return nets("nin_imagenet", body) | {"solver.prototxt": schedule}


def body(n: Sketch) -> None:
    """From pictures of 224 × 224 to the classes."""
    x = n.imagenet(224, 64)
    for conv, window, first, second, relus, pool in STAGES:
        for (name, shape), relu in zip(((conv, window), (first[0], (first[1], 1)), (second[0], (second[1], 1))), relus):
            std = 0.05 if conv != "conv1" and name != "cccp8-1024" else 0.01
            x = n.relu(f"relu{relu}", n.conv(name, x, *shape, filler={"type": "gaussian", "std": std}))
        x = n.pool(pool, x, "MAX", 3, 2) if pool else x
        x = n.dropout("drop", x) if pool == "pool3" else x
    n.classify(n.pool("pool4", x, "AVE"), top5="accuracy_top5")
