"""ZFNet: AlexNet with a smaller first kernel and stride, and without groups."""

from layerforge.zoo.recipe import imagenet_solver, nets
from layerforge.zoo.sketch import Sketch

#         outputs kernel stride pad
CONVS = ((96, 7, 2, 1), (256, 5, 2, 0), (384, 3, 1, 1), (384, 3, 1, 1), (256, 3, 1, 1))


def texts() -> dict[str, str]:
    comment = ("The paper's schedule: batches of 128, 70 epochs, a lower rate whenever the validation error stood "
               "still; here a tenth every 20 epochs.")
    schedule = imagenet_solver(comment, "zfnet", base_lr=0.01, lr_policy="step", gamma=0.1, stepsize=200000,
                               max_iter=700000, weight_decay=0.0005)
    return nets("ZFNet", body, filler={"type": "gaussian", "std": 0.01}) | {"solver.prototxt": schedule}


def body(n: Sketch) -> None:
    """From pictures of 224 × 224 to the classes."""
    x = n.imagenet(224, 128)
    for i, (outputs, kernel, stride, pad) in enumerate(CONVS, start=1):
        x = n.relu(f"relu{i}", n.conv(f"conv{i}", x, outputs, kernel, stride, pad))
        if i <= 2:
            x = n.lrn(f"norm{i}", n.pool(f"pool{i}", x, "MAX", 3, 2))
    x = n.pool("pool5", x, "MAX", 3, 2)
    for i in (6, 7):
        x = n.inner(f"fc{i}", x, 4096, filler={"type": "gaussian", "std": 0.005}, offset=1)
        x = n.dropout(f"drop{i}", n.relu(f"relu{i}", x))
    n.classify(n.inner("fc8", x, 1000), top5="accuracy_top5")
